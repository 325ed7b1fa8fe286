"""The models that come with ocbench: plug-ins like any third party's. Importing the package costs nothing."""
