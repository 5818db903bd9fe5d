"""Repositories of the Hugging Face Hub: what is read from them and what is pushed to them.

Address, token, cache and offline mode are those of `huggingface_hub`, which reads HF_ENDPOINT, HF_TOKEN,
HF_HOME and HF_HUB_OFFLINE.
"""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Literal, NamedTuple, Self

from pydantic import AfterValidator, Field, model_validator

from nastransfer_nni.base.config import Config
from search_spaces.errors import UserError

# Configs import this module, so `huggingface_hub`, which takes a second, is imported where it is used.

PREFIX = "hf-hub:"
"""What timm writes before the name of a repository."""
LOGIN = "log in with `hf auth login`, or set HF_TOKEN"

RepositoryKind = Literal["model", "dataset"]


def checked(name: str) -> str:
    """The name of a repository.

    Raises:
        UserError: the Hub has no such names.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError:
        raise UserError("must be the name of a repository, owner/name") from None
    return name


class PushOptions(Config):
    """Options of a command that can push what it has written."""

    push_to_hub: Annotated[str, AfterValidator(checked)] | None = Field(
        None,
        description="repository of the Hugging Face Hub, owner/name, that the files are pushed to; it is "
        "created if need be",
    )
    private: bool = Field(False, description="make the repository private where it is created")
    revision: str | None = Field(
        None, description="branch of the repository to push to, created if need be; None: main"
    )
    license: str = Field("mit", description="licence that README.md states, by its name on the Hub")

    @model_validator(mode="after")
    def _there_is_a_push(self) -> Self:
        for flag, is_given in {"--private": self.private, "--revision": self.revision is not None}.items():
            if is_given and self.push_to_hub is None:
                raise UserError(f"{flag} needs --push-to-hub")
        return self


class Pushed(NamedTuple):
    """What a push has done.

    Attributes:
        url: address of the repository.
        replaced: files that were in the repository before, and have a new version now.
    """

    url: str
    replaced: tuple[str, ...]

    @property
    def text(self) -> str:
        """One line that says what the push has done."""
        before = f"; new versions of {', '.join(self.replaced)}" if self.replaced else ""
        return f"pushed to {self.url}{before}"


def is_name(text: str) -> bool:
    """Whether a text names a repository of networks, as in `hf-hub:owner/name@revision`."""
    return text.startswith(PREFIX)


def parse(text: str) -> tuple[str, str | None]:
    """The repository and the revision of `hf-hub:owner/name@revision`; None without a revision."""
    name, _, revision = text.removeprefix(PREFIX).partition("@")
    return name, revision or None


def file(text: str, name: str) -> Path:
    """A file of a repository, downloaded into the cache unless it is there.

    Args:
        text: the repository, as in `hf-hub:owner/name@revision`.
        name: name of the file.

    Raises:
        UserError: says why the Hub does not give it.
    """
    from huggingface_hub import hf_hub_download

    repository, revision = parse(text)
    with _errors(f"cannot get {text} from"):
        return Path(hf_hub_download(repository, name, revision=revision))


def folder(text: str, names: Sequence[str]) -> Path:
    """A folder of the cache with files of a repository; those that the repository lacks are not in it.

    Args:
        text: the repository, as in `hf-hub:owner/name@revision`.
        names: names of the files.

    Raises:
        UserError: says why the Hub does not give them.
    """
    from huggingface_hub import snapshot_download

    repository, revision = parse(text)
    with _errors(f"cannot get {text} from"):
        return Path(snapshot_download(repository, revision=revision, allow_patterns=list(names)))


def push(
    source: Path, files: Sequence[str], options: PushOptions, *, kind: RepositoryKind, mark: str, message: str
) -> Pushed:
    """Push files to a repository in one commit; a repository or branch that is not there is created.

    Args:
        source: folder of the files.
        files: their names.
        options: repository, branch and whether it is private.
        kind: whether it holds a network or a table.
        mark: the one of `files` by which a repository that was pushed before is known.
        message: message of the commit.

    Raises:
        UserError: the repository holds something else, is public although a private one is asked for, or the
            Hub refuses.
    """
    from huggingface_hub import HfApi

    assert options.push_to_hub is not None
    name, revision, api = options.push_to_hub, options.revision, HfApi(library_name="nastransfer_nni")
    with _errors(f"cannot push {name} to"):
        # None lets an organization's own setting decide
        url = api.create_repo(name, repo_type=kind, private=options.private or None, exist_ok=True)
        name = url.repo_id  # with the owner, where only a name was given
        if options.private and not api.repo_info(name, repo_type=kind).private:
            raise UserError(f"{name} is public; make it private on its page, or push to another name")
        if revision is not None:
            api.create_branch(name, branch=revision, repo_type=kind, exist_ok=True)
        before = {*api.list_repo_files(name, revision=revision, repo_type=kind)} - {".gitattributes"}
        if before and mark not in before:
            raise UserError(f"{name} holds other files ({min(before)}, ...); push to another name")
        api.upload_folder(
            repo_id=name,
            repo_type=kind,
            folder_path=source,
            allow_patterns=list(files),
            revision=revision,
            commit_message=message,
        )
    return Pushed(str(url), tuple(sorted(before & {*files})))


@contextlib.contextmanager
def _errors(doing: str) -> Iterator[None]:
    """Turn errors of the Hub's client into one line.

    Args:
        doing: what failed, as in `cannot get NAME from`.
    """
    from huggingface_hub import constants, errors
    from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]  # that of its HTTP client
    from huggingface_hub.utils import disable_progress_bars  # type: ignore[attr-defined]

    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)  # it would warn of every retry
    if not sys.stderr.isatty():
        disable_progress_bars()
    try:
        yield
    except UserError:
        raise
    except errors.HFValidationError:
        problem = "the name must be owner/name"
    except errors.GatedRepoError:
        problem = f"it is gated: accept the terms on its page, and {LOGIN}"
    except errors.RepositoryNotFoundError:
        problem = f"there is no such repository, or it is private: {LOGIN}"
    except errors.RevisionNotFoundError:
        problem = "it has no such revision"
    except errors.RemoteEntryNotFoundError:
        problem = "it lacks the file that says which network it holds"
    except errors.LocalTokenNotFoundError:
        problem = LOGIN
    except errors.HfHubHTTPError as error:
        status = error.response.status_code
        said = LOGIN if status in (401, 403) else error.server_message or "without a reason"
        problem = f"it answers {status}: {said}"
    except (HTTPError, ConnectionError, errors.LocalEntryNotFoundError):
        is_offline = constants.HF_HUB_OFFLINE
        problem = "HF_HUB_OFFLINE is set, and the cache lacks it" if is_offline else "it cannot be reached"
    except ValueError as error:  # it has checked README.md
        problem = "it says: " + " ".join(str(error).split())
    else:
        return
    raise UserError(f"{doing} the Hugging Face Hub: {problem}")
