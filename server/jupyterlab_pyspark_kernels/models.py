"""What the service is asked and answers, as plain data; the API is described from it."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema

from .carry import Archive


class Remark(BaseModel):
    """An error or a piece of advice, and the field it belongs to."""

    field: str = Field(description="A field of KernelConfig; empty when it is none of them.")
    message: str


class KernelAddress(BaseModel):
    """Where a kernel lies."""

    model_config = ConfigDict(frozen=True)

    place: str
    name: str


class KernelArchive(BaseModel):
    """The packed environment that a kernel refers to."""

    model_config = ConfigDict(frozen=True)

    digest: str
    uri: str = Field(description="Where Spark fetches it.")
    bytes: int | None = Field(description="Its size; null when it is gone.")
    drift: str | None = Field(
        description="Why it should be packed anew, such as packages that changed since; null when "
        "it is as the environment is."
    )


class KeptArchive(Archive):
    """A packed environment, and who needs it."""

    place: str
    used_by: list[KernelAddress] = Field(description="The kernels that refer to it.")
    kept_for_undo: bool = Field(description="Whether an undo could bring back one that needs it.")


class Kernel(BaseModel):
    """A PySpark kernel as it lies in one of the places."""

    model_config = ConfigDict(frozen=True)

    name: str
    place: str = Field(description="The id of the place.")
    display_name: str
    config: Annotated[
        dict[str, JsonValue] | None,
        WithJsonSchema(
            {"anyOf": [{"$ref": "#/components/schemas/KernelConfig"}, {"type": "null"}]}
        ),
    ] = Field(description="What it was made from; null when that cannot be read.")
    etag: str = Field(description="What an edit gives as If-Match.")
    created_by: str
    writable: bool = Field(description="Whether this user can change it.")
    edited_by_hand: bool = Field(
        description="Whether kernel.json differs from what we would write."
    )
    hidden_by: str | None = Field(
        description="The directory of another kernel of the same name that Jupyter finds first."
    )
    archive: KernelArchive | None = Field(
        description="The packed environment that its executors unpack."
    )
    problem: str | None = Field(description="Why Jupyter cannot read it; null when it can.")


class Request(BaseModel):
    """Long work that has been asked for and checked, as plain data that can be kept and resumed."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["create", "edit", "ready"]
    title: str
    place: str | None = None
    name: str | None = None
    etag: str = ""
    environment: str | None = None
    verify: bool = False
    config: dict[str, JsonValue] | None = None


class Preview(BaseModel):
    """What would be written, were the kernel created now."""

    name: str
    directory: str
    kernel_json: dict[str, JsonValue]
    advice: list[Remark]
