"""Where publications lie: a repository of the Hugging Face hub, or a folder; each is read and written by file name.

`huggingface_hub` honours HF_ENDPOINT, HF_TOKEN, HF_HUB_OFFLINE and HF_HOME; what it raises becomes one RunError here.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from ocbench import __version__, storage
from ocbench.errors import OcbenchError, RunError, UsageError
from ocbench.hub.manifest import CARD, MANIFEST, STEM, Manifest

if TYPE_CHECKING:
    from huggingface_hub import HfApi

EXPECTED = "hf:ORG/NAME, or folder:DIR"


@dataclass(frozen=True)
class Folder:
    """A folder of this machine or of a cluster."""

    path: Path
    commit: str | None = None  # a folder has none

    @property
    def word(self) -> str:
        """What to type."""
        return f"folder:{self.path}"

    @property
    def public(self) -> str:
        """What to type, without where it lies on this machine."""
        return f"folder:{self.name}"

    @property
    def name(self) -> str:
        """How a run from here is called."""
        return self.path.resolve().name

    def pinned(self) -> Folder:
        """Itself."""
        return self

    def file(self, name: str) -> Path:
        """A file of the publication; RunError where it is not there."""
        if not (self.path / name).is_file():
            hint = "ocbench push RUN folder:DIR makes one" if name == MANIFEST else "push it again"
            raise RunError(f"'{self.word}' has no '{name}'", hint=hint)
        return self.path / name

    def before(self) -> Manifest | None:
        """What is published there; None in an empty place, RunError where it holds something else."""
        if self.path.exists() and not self.path.is_dir():
            raise RunError(f"'{self.word}' is no folder")
        there = storage.names(str(self.path))
        if not there:
            return None
        if MANIFEST not in there:
            raise RunError(f"'{self.word}' holds something that is no run", found=", ".join(there[:5]))
        manifest = Manifest.parse(self.file(MANIFEST).read_bytes(), self.word)
        ours = {MANIFEST, *(entry.path for entry in manifest.files)}
        found = [f"{inner}/{name}" for inner, names in storage.walk(str(self.path)) for name in names]
        strange = [path for path in found if os.path.relpath(path, self.path).replace(os.sep, "/") not in ours]
        if strange:
            raise RunError(f"'{self.word}' holds more than a published run", found=", ".join(strange[:5]))
        return manifest

    def send(self, files: Mapping[str, bytes | Path], gone: Sequence[str], message: str, private: bool) -> str:
        """Writes all files beside the folder, which is then replaced; returns where it lies."""
        if private:
            raise UsageError("--private says nothing of a folder", hint="its rights are those of its file system")
        with storage.replacing_folder(str(self.path.resolve())) as beside:
            for name, content in files.items():
                storage.make_folder(os.path.dirname(f"{beside}/{name}"))
                with storage.replacing(f"{beside}/{name}") as out:
                    if isinstance(content, bytes):
                        out.write(content)
                    else:
                        copy(content, out)
        return str(self.path)


@dataclass(frozen=True)
class Hub:
    """A repository of models on the hub."""

    repo: str
    revision: str | None = None
    commit: str | None = None

    @property
    def word(self) -> str:
        """What to type."""
        return f"hf:{self.repo}" + (f"@{self.revision}" if self.revision else "")

    @property
    def public(self) -> str:
        """What to type for the newest."""
        return f"hf:{self.repo}"

    @property
    def name(self) -> str:
        """How a run from here is called."""
        return self.repo.partition("/")[2]

    def pinned(self) -> Hub:
        """At the commit that the revision means now; offline, at the one that was fetched last."""
        from huggingface_hub import constants

        if not constants.HF_HUB_OFFLINE:  # else a hub out of reach would go unnoticed: the library turns to its cache
            with self._asking("read"):
                _api().model_info(self.repo, revision=self.revision)
        return replace(self, commit=self.file(MANIFEST).parent.name)  # the cache keeps files under their commit

    def file(self, name: str) -> Path:
        """A file of the publication in the hub's own cache, fetched where it is not there yet."""
        with self._asking("read", name):
            return Path(_api().hf_hub_download(self.repo, name, revision=self.commit or self.revision))

    def before(self) -> Manifest | None:
        """What is published there; None for an empty or no repository, RunError where it holds something else."""
        from huggingface_hub import get_token

        if get_token() is None:
            raise RunError(
                f"no token to write to '{self.word}'",
                hint="export HF_TOKEN=…, a token that may write, or: hf auth login; --dry-run needs none",
            )
        with self._asking("read"):
            api = _api()
            there = api.list_repo_files(self.repo) if api.repo_exists(self.repo) else []
        there = [name for name in there if name not in (".gitattributes", CARD)]
        if not there:
            return None
        if MANIFEST not in there:
            raise RunError(f"'{self.word}' holds something that is no run", found=", ".join(there[:5]))
        now = self.pinned()
        return Manifest.parse(now.file(MANIFEST).read_bytes(), self.word)

    def send(self, files: Mapping[str, bytes | Path], gone: Sequence[str], message: str, private: bool) -> str:
        """Makes the repository where there is none, and sends all files in one commit, whose address it returns."""
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete

        changes: list[CommitOperationAdd | CommitOperationDelete] = [
            CommitOperationAdd(name, str(content) if isinstance(content, Path) else content)
            for name, content in files.items()
        ]
        changes += [CommitOperationDelete(name) for name in gone]
        with self._asking("write"):
            api = _api()
            api.create_repo(self.repo, private=private or None, exist_ok=True)
            return api.create_commit(self.repo, changes, commit_message=message).commit_url

    @contextmanager
    def _asking(self, doing: str, name: str = "") -> Iterator[None]:
        """Turns what the library raises into one RunError."""
        from huggingface_hub.errors import HTTPError, XetDownloadError

        try:
            yield
        except OcbenchError:
            raise
        except (HTTPError, OSError, ValueError, RuntimeError, XetDownloadError) as wrong:
            raise _told(self, doing, name, wrong) from wrong


Place = Folder | Hub


def place_of(word: str) -> Place:
    """The place that hf:ORG/NAME[@REV], folder:DIR or a path means; UsageError for any other word."""
    scheme, colon, rest = word.partition(":")
    if colon and scheme == "hf":
        repo, _, revision = rest.partition("@")
        if not re.fullmatch(rf"{STEM}/{STEM}", repo) or ("@" in rest and not revision):
            raise UsageError(f"'{word}' names no repository", expected="hf:ORG/NAME, or hf:ORG/NAME@REVISION")
        _validate(word, repo)
        return Hub(repo, revision or None)
    if colon and scheme == "folder" and rest:
        return Folder(Path(rest).expanduser())
    if word.startswith((".", "/", "~")) or os.path.isdir(word):
        return Folder(Path(word).expanduser())
    hint = f"hf:{word}, or folder:{word}?" if not colon and word else None
    raise UsageError(f"'{word}' is no place for a run", expected=EXPECTED, hint=hint)


def copy(source: Path, out: object) -> None:
    """Appends a file to an open one."""
    import shutil

    with open(source, "rb") as file:
        shutil.copyfileobj(file, out, 1 << 20)  # type: ignore[arg-type]


def _validate(word: str, repo: str) -> None:
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id

    try:
        validate_repo_id(repo)
    except HFValidationError as wrong:
        raise UsageError(f"'{word}' names no repository", found=str(wrong).splitlines()[0]) from None


def _api() -> HfApi:
    from huggingface_hub import HfApi, constants
    from huggingface_hub.utils import disable_progress_bars, logging

    disable_progress_bars()  # progress is ours
    logging.set_verbosity_error()  # what it warns of while it tries again comes out as one error
    return HfApi(endpoint=constants.ENDPOINT, library_name="ocbench", library_version=__version__)


def _told(place: Hub, doing: str, name: str, wrong: Exception) -> OcbenchError:
    """The error for what went wrong between us and the hub."""
    from huggingface_hub import constants, errors

    what = f"cannot {doing} '{place.word}'"
    status = wrong.response.status_code if isinstance(wrong, errors.HfHubHTTPError) else None
    if isinstance(wrong, errors.OfflineModeIsEnabled | errors.LocalEntryNotFoundError) and constants.HF_HUB_OFFLINE:
        kept = f"; '{name}' of that revision is not in the cache" if name else ""
        return RunError(f"{what}: HF_HUB_OFFLINE is set{kept}", hint="unset HF_HUB_OFFLINE where there is a network")
    if isinstance(wrong, errors.RevisionNotFoundError):
        return RunError(f"{what}: it has no revision '{place.revision}'", hint=f"the newest: {place.public}")
    if isinstance(wrong, errors.RemoteEntryNotFoundError):
        hint = "was it published by ocbench push?" if name == MANIFEST else "tell who published it"
        return RunError(f"'{place.word}' has no '{name}'", hint=hint)
    if isinstance(wrong, errors.GatedRepoError):
        return RunError(f"{what}: its owner grants access one by one", hint=f"ask there: {_page(place)}")
    if isinstance(wrong, errors.RepositoryNotFoundError):
        return RunError(
            f"{what}: there is none, or it is private", found=f"HTTP {status}",
            hint="check the name; of a private one: export HF_TOKEN=…, or: hf auth login",
        )  # fmt: skip
    if status in (401, 403):
        hint = f"export HF_TOKEN=…, a token that may {doing} there, or: hf auth login"
        return RunError(f"{what}: the token does not allow it", found=f"HTTP {status}", hint=hint)
    if status is not None:
        return RunError(f"{what}: {constants.ENDPOINT} answered HTTP {status}", found=_first(wrong), hint="try again")
    if isinstance(wrong, errors.HTTPError | errors.LocalEntryNotFoundError):
        hint = "check the network and HF_ENDPOINT; HF_HUB_OFFLINE=1 takes what was fetched before"
        found = _first(wrong.__cause__ or wrong)
        return RunError(f"{what}: {constants.ENDPOINT} cannot be reached", found=found, hint=hint)
    return RunError(what + (f", at '{name}'" if name else ""), found=_first(wrong), hint="try again")


def _page(place: Hub) -> str:
    from huggingface_hub import constants

    return f"{constants.ENDPOINT}/{place.repo}"


def _first(wrong: BaseException) -> str:
    """The first line of an error, and of the one behind it where that says more."""
    line = f"{type(wrong).__name__}: {str(wrong).splitlines()[0] if str(wrong) else ''}"
    behind = _first(wrong.__cause__) if wrong.__cause__ is not None else line
    return line if behind == line else f"{line} ({behind})"
