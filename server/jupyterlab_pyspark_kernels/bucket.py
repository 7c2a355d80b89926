"""Jupyter's files in a bucket of S3 or Google Cloud Storage, or else no Jupyter server at all.

An administrator sets it in `jupyter_server_config`:

    c.ServerApp.contents_manager_class = "jupyterlab_pyspark_kernels.bucket.BucketContents"
    c.BucketContents.url = "s3://BUCKET/FOLDER"

Credentials are nowhere in Jupyter's configuration: s3fs and gcsfs find them as other programs of
AWS and Google do.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import hashlib
import mimetypes
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, timezone
from http import HTTPStatus
from typing import IO, Any, TypeVar
from urllib.parse import quote

import nbformat
from jupyter_server.services.contents.checkpoints import AsyncCheckpoints
from jupyter_server.services.contents.manager import AsyncContentsManager
from tornado.web import HTTPError
from traitlets import Dict, TraitError, Type, Unicode, default

from .kernel.rules import looks_secret

_T = TypeVar("_T")

_KEEP = ".keep"
"""An object that says that a folder is there; buckets have no folders."""

_CHECKPOINT = "checkpoint"
_SECRETS = ("username", "connection_string")
"""Options that are credentials and whose names do not say so."""

_UPLOAD_SECONDS = 3600
"""How long the next part of a file is waited for; JupyterLab sends one right after the other."""

_PROTOCOLS = ("s3", "gs")
_NO_TIME = datetime.fromtimestamp(0, timezone.utc)
"""When a folder was made: nobody knows."""


class _Upload:
    """A file whose parts come one by one."""

    def __init__(self) -> None:
        self.parts: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        self._last = time.monotonic()

    def take(self, part: bytes) -> IO[bytes]:
        """Add a part, and give all of them."""
        self.parts.write(part)
        self._last = time.monotonic()
        return self.parts

    def age(self) -> float:
        """Tell for how many seconds no part has come."""
        return time.monotonic() - self._last


class BucketCheckpoints(AsyncCheckpoints):
    """The last checkpoint of each file: a copy beside it, made and restored within the bucket."""

    parent: BucketContents

    async def create_checkpoint(self, contents_mgr: object, path: str) -> dict[str, Any]:
        """Take a copy of a file."""
        await self.parent.copy_file(path, _copy_of(path))
        (checkpoint,) = await self.list_checkpoints(path)
        return checkpoint

    async def restore_checkpoint(self, contents_mgr: object, checkpoint_id: str, path: str) -> None:
        """Put the copy in the file's place."""
        await self.parent.copy_file(await self._existing(checkpoint_id, path), path)

    async def rename_checkpoint(self, checkpoint_id: str, old_path: str, new_path: str) -> None:
        """Keep the copy beside the file."""
        copy = await self._existing(checkpoint_id, old_path)
        await self.parent.copy_file(copy, _copy_of(new_path))
        await self.parent.delete_file(copy)

    async def delete_checkpoint(self, checkpoint_id: str, path: str) -> None:
        """Delete the copy."""
        await self.parent.delete_file(await self._existing(checkpoint_id, path))

    async def list_checkpoints(self, path: str) -> list[dict[str, Any]]:
        """Tell of the copy, if there is one."""
        found = await self.parent.look(_copy_of(path))
        return [] if found is None else [{"id": _CHECKPOINT, "last_modified": _time(found)}]

    async def _existing(self, checkpoint_id: str, path: str) -> str:
        if checkpoint_id != _CHECKPOINT or not await self.list_checkpoints(path):
            raise HTTPError(HTTPStatus.NOT_FOUND, f"{path} has no checkpoint {checkpoint_id}.")
        return _copy_of(path)


class BucketContents(AsyncContentsManager):
    """Notebooks, files and folders below one folder of a bucket; a hub's user has one in it.

    What the bucket is asked runs in threads, as kernels talk through this server meanwhile.
    """

    url = Unicode(help="Where files are: s3://BUCKET/FOLDER or gs://BUCKET/FOLDER.").tag(
        config=True
    )
    options = Dict(
        help="More for s3fs or gcsfs, such as endpoint_url; credentials have no place here."
    ).tag(config=True)
    checkpoints_class = Type(BucketCheckpoints, AsyncCheckpoints, config=True)

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._uploads: dict[str, _Upload] = {}
        self._root = self._checked_root()
        protocol = self.url.partition("://")[0]
        try:
            self._bucket = _opened(protocol, self.options)
            # Who may write and list here now, may do so later.
            self._bucket.pipe_file(f"{self._root}/{_KEEP}", b"")
            self._bucket.ls(self._root)
        except ImportError as error:
            raise TraitError(
                f"Notebooks cannot be kept in {self.url}: {_said(error)} It comes into Jupyter's "
                f"environment by pip install 'jupyterlab-pyspark-kernels[{protocol}]'."
            ) from error
        except Exception as error:
            raise TraitError(
                f"Notebooks cannot be kept in {self.url}: {_said(error)} See that the bucket is "
                "there, that BucketContents.url and .options say where, and that this server's "
                "credentials may list, read and write there."
            ) from error

    def _checked_root(self) -> str:
        protocol, _, rest = self.url.partition("://")
        user = os.environ.get("JUPYTERHUB_USER")
        parts = [*rest.strip("/").split("/"), *([quote(user, safe="@")] if user else [])]
        if protocol not in _PROTOCOLS or any(_is_odd(part) for part in parts):
            raise TraitError(
                f"BucketContents.url is '{self.url}'. Say s3://BUCKET/FOLDER or gs://BUCKET/FOLDER."
            )
        secrets = list(_credentials(self.options))
        if secrets:
            raise TraitError(
                f"BucketContents.options has credentials: {', '.join(secrets)}. Leave them out, "
                "and refer to them as AWS or Google say: by a profile, the machine's identity, or "
                "GOOGLE_APPLICATION_CREDENTIALS."
            )
        return "/".join(parts)

    @default("files_handler_params")
    def _files_handler_params(self) -> dict[str, str]:
        # Jupyter's handler of downloads wants one, and has no use for it.
        return {"path": ""}

    # --- what Jupyter asks ------------------------------------------------------------------------

    async def is_hidden(self, path: str) -> bool:
        """Tell whether a name on the way begins with a dot, as checkpoints do."""
        return any(part.startswith(".") for part in path.split("/"))

    async def file_exists(self, path: str = "") -> bool:
        """Tell whether there is such a file."""
        found = await self.look(path)
        return found is not None and not _is_folder(found)

    async def dir_exists(self, path: str) -> bool:
        """Tell whether there is such a folder."""
        found = await self.look(path)
        return found is not None and _is_folder(found)

    async def get(
        self,
        path: str,
        content: bool = True,
        type: str | None = None,  # noqa: A002
        format: str | None = None,  # noqa: A002
        require_hash: bool = False,
    ) -> dict[str, Any]:
        """Give a file, a notebook or a folder, with its content if wanted."""
        path = path.strip("/")
        found = await self.look(path)
        if found is None:
            raise HTTPError(HTTPStatus.NOT_FOUND, f"There is no {path}.")
        if type and _is_folder(found) != (type == "directory"):
            kind = "a folder" if _is_folder(found) else "no folder"
            raise HTTPError(HTTPStatus.BAD_REQUEST, f"{path} is {kind}.", reason="bad type")
        model = _model(path, found, type)
        if model["type"] == "directory":
            return await self._with_files(model) if content else model
        if content or require_hash:
            data = await self._ask(self._bucket.cat_file, self._object(path))
            if require_hash:
                model |= {"hash": hashlib.sha256(data).hexdigest(), "hash_algorithm": "sha256"}
            if content:
                self._fill(model, data, format)
        return model

    async def save(self, model: dict[str, Any], path: str = "") -> dict[str, Any]:
        """Write a file, a notebook, or the next part of a file; or make a folder."""
        path = path.strip("/")
        self.run_pre_save_hooks(model=model, path=path)
        kind, message = model.get("type"), None
        if kind not in ("directory", "file", "notebook"):
            raise HTTPError(HTTPStatus.BAD_REQUEST, f"'{kind}' is no type of a file.")
        if kind != "directory" and "content" not in model:
            raise HTTPError(HTTPStatus.BAD_REQUEST, f"There is no content for {path}.")
        found = await self.look(path)
        if found is not None and _is_folder(found) != (kind == "directory"):
            raise HTTPError(HTTPStatus.CONFLICT, f"There is a {path} already of another type.")
        if kind == "directory":
            await self._write(f"{path}/{_KEEP}", b"")
        elif kind == "file" and model.get("chunk"):
            if not await self._upload(model, path):
                return _model(path, {"size": self._uploads[path].parts.tell()}, kind)
        elif kind == "file":
            await self._write(path, _decoded(model))
        else:
            await self._write(path, self._signed(model["content"], path))
            self.validate_notebook_model(model)
            message = model.get("message")
        saved = await self.get(path, content=False, type=kind)
        if message:
            saved["message"] = message
        self.run_post_save_hooks(model=saved, os_path=self._object(path))
        self.emit(data={"action": "save", "path": path})
        return saved

    async def delete_file(self, path: str) -> None:
        """Delete a file, or a folder with everything in it."""
        names = await self._names(path)
        await self._keep_folder_of(path)
        await self._remove(names)

    async def rename_file(self, old_path: str, new_path: str) -> None:
        """Give a file another name, or a folder with everything in it."""
        if not old_path.strip("/"):
            raise HTTPError(HTTPStatus.BAD_REQUEST, "The folder of all has no name to change.")
        names = await self._names(old_path)
        if await self.look(new_path) is not None:
            raise HTTPError(HTTPStatus.CONFLICT, f"There is a {new_path} already.")
        old, new = self._object(old_path), self._object(new_path)
        await self._keep_folder_of(old_path)
        await self._ask(self._bucket.copy, names, [new + name[len(old) :] for name in names])
        # Nothing is deleted before everything has been copied, and nothing that was not.
        await self._remove(names)

    # --- the bucket -------------------------------------------------------------------------------

    async def look(self, path: str) -> Mapping[str, Any] | None:
        """Tell what the bucket knows of a path; None if there is nothing."""
        name = self._object(path)
        if name == self._root:
            return {"type": "directory"}

        def look() -> Mapping[str, Any] | None:
            try:
                found: Mapping[str, Any] = self._bucket.info(name)
            except FileNotFoundError:
                return None
            return found

        return await self._ask(look)

    async def copy_file(self, source: str, target: str) -> None:
        """Copy one file within the bucket."""
        await self._ask(self._bucket.cp_file, self._object(source), self._object(target))

    async def _write(self, path: str, data: bytes) -> None:
        await self._ask(self._bucket.pipe_file, self._object(path), data)

    async def _keep_folder_of(self, path: str) -> None:
        """Let a folder stay that others made, and that is there only while something is in it."""
        await self._write(f"{path.strip('/').rpartition('/')[0]}/{_KEEP}", b"")

    async def _remove(self, names: list[str]) -> None:
        def remove() -> None:
            for name in names:
                # Its `rm` would take a star or a bracket in a name for any characters.
                self._bucket.rm_file(name)

        await self._ask(remove)

    async def _names(self, path: str) -> list[str]:
        """Give the objects that a path stands for."""
        found = await self.look(path)
        if found is None:
            raise HTTPError(HTTPStatus.NOT_FOUND, f"There is no {path}.")
        if not _is_folder(found):
            return [self._object(path)]
        names: list[str] = await self._ask(self._bucket.find, self._object(path))
        return names

    async def _with_files(self, folder: dict[str, Any]) -> dict[str, Any]:
        name = self._object(folder["path"])
        found = await self._ask(self._bucket.ls, name, True)
        return {**folder, "format": "json", "content": list(self._listed(folder["path"], found))}

    def _listed(self, folder: str, found: list[Mapping[str, Any]]) -> Iterator[dict[str, Any]]:
        for entry in found:
            path = entry["name"].strip("/")[len(self._root) + 1 :]
            name = path.rpartition("/")[2]
            # Some tools make an object that has the folder's own name.
            if path == folder or name == _KEEP or not self.should_list(name):
                continue
            if self.allow_hidden or not name.startswith("."):
                yield _model(path, entry)

    def _signed(self, content: Any, path: str) -> bytes:
        """Give a notebook as it is written, and trust it from now on if all of it was run here."""
        try:
            notebook = nbformat.from_dict(content)
            self.check_and_sign(notebook, path)
            return bytes(nbformat.writes(notebook, nbformat.NO_CONVERT).encode())
        except Exception as error:
            message = f"This is no notebook: {_said(error)}"
            raise HTTPError(HTTPStatus.BAD_REQUEST, message) from error

    def _fill(self, model: dict[str, Any], data: bytes, wanted: str | None) -> None:
        """Put the content of a file or a notebook into what is told of it."""
        if model["type"] == "notebook":
            try:
                notebook = nbformat.reads(data.decode(), as_version=4)
            except Exception as error:
                message = f"{model['path']} is no notebook: {_said(error)}"
                raise HTTPError(HTTPStatus.BAD_REQUEST, message) from error
            self.mark_trusted_cells(notebook, model["path"])
            model |= {"format": "json", "content": notebook}
            self.validate_notebook_model(model)
            return
        content, model["format"] = _encoded(model["path"], data, wanted)
        model["content"] = content
        usual = "text/plain" if model["format"] == "text" else "application/octet-stream"
        model["mimetype"] = mimetypes.guess_type(model["path"])[0] or usual

    async def _upload(self, model: Mapping[str, Any], path: str) -> bool:
        """Take the next part of a file; tell whether it was the last one, and the file is there."""
        chunk, data = model["chunk"], _decoded(model)
        self._forget_uploads(path if chunk == 1 else None)
        if chunk == 1:
            self._uploads[path] = _Upload()
        if path not in self._uploads:
            raise HTTPError(HTTPStatus.BAD_REQUEST, f"The first part of {path} is missing.")
        parts = self._uploads[path].take(data)
        if chunk != -1:
            return False
        del self._uploads[path]

        def send() -> None:
            parts.seek(0)
            with self._bucket.open(self._object(path), "wb") as target:
                shutil.copyfileobj(parts, target, 8 * 1024 * 1024)

        with parts:
            await self._ask(send)
        return True

    def _forget_uploads(self, anew: str | None) -> None:
        """Let go of what begins anew, and of what a browser that was closed began."""
        for path, upload in list(self._uploads.items()):
            if path == anew or upload.age() > _UPLOAD_SECONDS:
                self._uploads.pop(path).parts.close()

    def _object(self, path: str) -> str:
        parts = [part for part in path.strip("/").split("/") if part]
        if any(_is_odd(part) for part in parts):
            raise HTTPError(HTTPStatus.NOT_FOUND, f"There is no {path}.")
        return "/".join([self._root, *parts])

    async def _ask(self, question: Callable[..., _T], *about: object) -> _T:
        try:
            return await asyncio.to_thread(question, *about)
        except FileNotFoundError as error:
            raise HTTPError(HTTPStatus.NOT_FOUND, _said(error)) from error
        except PermissionError as error:
            message = f"{self.url} refuses it: {_said(error)}"
            raise HTTPError(HTTPStatus.FORBIDDEN, message) from error
        except Exception as error:
            message = f"{self.url} does not answer: {_said(error)}"
            raise HTTPError(HTTPStatus.SERVICE_UNAVAILABLE, message) from error


def _opened(protocol: str, options: Mapping[str, Any]) -> Any:
    import fsspec

    # Others write to the bucket too, so nothing is remembered of what is in it.
    return fsspec.filesystem(
        protocol, use_listings_cache=False, skip_instance_cache=True, **options
    )


def _credentials(options: Mapping[str, Any], within: str = "") -> Iterator[str]:
    """Name the options that are credentials, however deep."""
    for name, value in options.items():
        if isinstance(value, Mapping) and name != "token":
            yield from _credentials(value, f"{within}{name}.")
        # To gcsfs a text says where its token is.
        elif name == "token" and isinstance(value, str):
            continue
        elif name in _SECRETS or name.lower().endswith("key") or looks_secret(name):
            yield f"{within}{name}"


def _said(error: Exception) -> str:
    """Give an error's words as one sentence."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if text.endswith(".") else f"{text}."


def _is_odd(part: str) -> bool:
    """Tell whether a name would lead elsewhere on the way to a bucket."""
    return part in ("", ".", "..")


def _is_folder(found: Mapping[str, Any]) -> bool:
    return found.get("type") == "directory"


def _time(found: Mapping[str, Any]) -> datetime:
    """Tell when an object was written, as s3fs or gcsfs say."""
    written: datetime = found.get("LastModified") or found.get("mtime") or _NO_TIME
    return written


def _copy_of(path: str) -> str:
    """Give the path of a file's checkpoint, which is as that of local files."""
    folder, slash, name = path.strip("/").rpartition("/")
    stem, extension = os.path.splitext(name)
    return f"{folder}{slash}.ipynb_checkpoints/{stem}-{_CHECKPOINT}{extension}"


def _model(path: str, found: Mapping[str, Any], kind: str | None = None) -> dict[str, Any]:
    """Tell of a file, a notebook or a folder what Jupyter wants to know, but for its content."""
    usual = "notebook" if path.endswith(".ipynb") else "file"
    folder = _is_folder(found)
    return {
        "name": path.rpartition("/")[2],
        "path": path,
        "type": "directory" if folder else kind or usual,
        "writable": True,
        "created": _time(found),
        "last_modified": _time(found),
        "size": None if folder else found.get("size"),
        "mimetype": None,
        "content": None,
        "format": None,
        "hash": None,
        "hash_algorithm": None,
    }


def _decoded(model: Mapping[str, Any]) -> bytes:
    """Give the bytes of a file that was sent."""
    content, kind = model["content"], model.get("format")
    try:
        if kind == "text":
            return bytes(content.encode())
        if kind == "base64":
            return base64.b64decode(content.encode("ascii"), validate=False)
    except (AttributeError, UnicodeError, binascii.Error) as error:
        raise HTTPError(HTTPStatus.BAD_REQUEST, f"This is not {kind}: {_said(error)}") from error
    raise HTTPError(HTTPStatus.BAD_REQUEST, "The format of a file is 'text' or 'base64'.")


def _encoded(path: str, data: bytes, wanted: str | None) -> tuple[str, str]:
    """Give a file's bytes as text if they are that, unless something else is wanted."""
    if wanted != "base64":
        try:
            return data.decode(), "text"
        except UnicodeError as error:
            if wanted == "text":
                message = f"{path} is not UTF-8."
                raise HTTPError(HTTPStatus.BAD_REQUEST, message, reason="bad format") from error
    return base64.encodebytes(data).decode("ascii"), "base64"
