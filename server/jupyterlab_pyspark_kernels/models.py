"""What the service is asked and answers, as plain data; the API is described from it."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Field, JsonValue, WithJsonSchema


class Remark(BaseModel):
    """An error or a piece of advice, and the field it belongs to."""

    field: str = Field(description="A field of KernelConfig; empty when it is none of them.")
    message: str


class KernelAddress(BaseModel):
    """Where a kernel lies."""

    model_config = ConfigDict(frozen=True)

    place: str
    name: str


class KernelPair(BaseModel):
    """Two kernels that are to be compared."""

    model_config = ConfigDict(frozen=True)

    left: KernelAddress
    right: KernelAddress


class SparkUi(BaseModel):
    """Where the Spark UI of a running kernel is: one of the two."""

    model_config = ConfigDict(frozen=True)

    url: str | None = Field(description="The address on this server.")
    tracking: str | None = Field(description="YARN's own link, where Spark was given one.")


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


class Archive(BaseModel):
    """A packed environment, as one of the places keeps it."""

    model_config = ConfigDict(frozen=True)

    digest: str = Field(description="Names it; made from its content.")
    path: str
    environment: str = Field(description="What was packed.")
    python_version: str
    bytes: int = Field(description="Its size.")
    files: int
    created: datetime
    left_out: list[str] = Field(description="What of the environment is not in it, and why.")
    drift: str | None = Field(
        description="What has changed in the environment since; null when nothing has."
    )


class KeptArchive(Archive):
    """A packed environment, and who needs it."""

    place: str
    used_by: list[KernelAddress] = Field(description="The kernels that refer to it.")
    kept_for_undo: bool = Field(description="Whether an undo could bring back one that needs it.")


class KernelTest(BaseModel):
    """How this user's last flight test of a kernel ended."""

    model_config = ConfigDict(frozen=True)

    passed: bool
    verdict: str = Field(description="One sentence.")
    when: datetime = Field(description="When it ended, in UTC.")
    outdated: bool = Field(description="Whether kernel.json has changed since.")


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
    ours: bool = Field(
        description="Whether it was made here; one that was written by hand is only exported and "
        "copied."
    )
    created_by: str
    owner: str = Field(description="The user that its directory belongs to.")
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
    last_used: str | None = Field(
        description="When a notebook of this user last started it, in UTC as ISO 8601 writes it."
    )
    last_test: KernelTest | None = Field(description="How this user's last test of it ended.")
    problem: str | None = Field(description="Why Jupyter cannot read it; null when it can.")
    broken: str | None = Field(
        description="Why no notebook would start with it, as far as files tell; null when nothing "
        "is known."
    )
    untrusted: str | None = Field(
        description="Why starting it would run what somebody else can change; null when it would "
        "not."
    )
    outdated: str | None = Field(
        None,
        description="Why an edit will be held against other rules than the kernel was made with: "
        "its template has changed or is gone; null when it is as it was.",
    )


class Request(BaseModel):
    """Long work that has been asked for and checked, as plain data that can be kept and resumed."""

    model_config = ConfigDict(frozen=True)

    kind: Literal["create", "edit", "move", "ready", "settings", "test"]
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


ExportFormat: TypeAlias = Literal["kernel", "spark-submit", "spark-defaults"]


class Export(BaseModel):
    """A kernel as text, to be kept, shared or run elsewhere."""

    format: ExportFormat
    filename: str = Field(description="What a file with it is best called.")
    text: str
    remarks: list[Remark] = Field(description="What is not in it, such as secrets.")


class Import(BaseModel):
    """What a text says of a kernel; nothing has been written."""

    config: Annotated[
        dict[str, JsonValue],
        WithJsonSchema({"type": "object", "description": "Some fields of a KernelConfig."}),
    ]
    remarks: list[Remark] = Field(description="What of the text is not in it, and why.")


class Application(BaseModel):
    """A Spark application of this user."""

    model_config = ConfigDict(frozen=True)

    id: str = Field(description="Of its kernel.")
    kernel: Literal["running", "process", "driver", "application"] = Field(
        description="What there is of its kernel. `running`: a server has it. `process`: it runs, "
        "and no server has it. `driver`: only its Spark is left on this machine. `application`: it "
        "is gone, and the cluster still runs the application."
    )
    name: str = Field(description="What the kernel is called.")
    path: str | None = Field(description="The notebook, if the kernel has one.")
    busy: bool = Field(description="Whether a cell runs.")
    stage: str | None = Field(description="How far Spark is, as far as the kernel tells.")
    master: str | None
    application_id: str | None = Field(description="What the cluster calls the application.")
    cores: int | None
    since: str | None = Field(description="When Spark was there, in UTC as ISO 8601 writes it.")
    ui: bool = Field(description="Whether Spark's UI can be opened by way of this server.")


class Applications(BaseModel):
    """The Spark applications of this user."""

    model_config = ConfigDict(frozen=True)

    applications: list[Application]
    notes: list[str] = Field(description="What could not be found out, such as a silent cluster.")
