"""The small ray caster behind the built-in datasets: camera, shapes, materials, scene sampling."""
