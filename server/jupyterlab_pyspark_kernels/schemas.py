"""Everything that is derived from KernelConfig and the other models: schemas, API description.

`python -m jupyterlab_pyspark_kernels.schemas` writes the derived files anew; a test fails when one
of them differs from what this module makes.
"""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from .capacity import ASKED_ABOUT, ClusterReport
from .catalogue import Settings
from .compare import Comparison
from .config import KernelConfig
from .doctor import Diagnosis
from .effective import Effective
from .environments import Environment
from .flight import Flight
from .models import (
    Applications,
    Export,
    ExportFormat,
    Import,
    KeptArchive,
    Kernel,
    KernelPair,
    Preview,
    Remark,
    SparkUi,
)
from .places import Place
from .policy import Offers
from .receipts import KernelReceipt
from .tasks import Task
from .templates import ClusterFile, TemplateFile

Schema = dict[str, Any]

ROOT = Path(__file__).parents[2]
SETTINGS_FILE = Path("schema/commands.json")
OPENAPI_FILE = Path("server/jupyterlab_pyspark_kernels/openapi.yaml")
TEMPLATE_FILE = Path("server/jupyterlab_pyspark_kernels/template.schema.json")

_NOT_DEFAULTS = ("display_name", "name", "choices", "per_user")
"""Fields that belong to one kernel, or to one template, and so have no default for all."""


_OF_THE_FORM = ("advanced", "examples", "section")
"""What of a field's schema says only how it is shown."""


class _Plain(GenerateJsonSchema):
    """JSON Schema without null: a field that is not set is left out, in forms as in requests."""

    def nullable_schema(self, schema: core_schema.NullableSchema) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: core_schema.WithDefaultSchema) -> JsonSchemaValue:
        made = super().default_schema(schema)
        if made.get("default") in (None, ""):
            made.pop("default", None)
        return made


@cache
def config_schema() -> Schema:
    """Give the JSON Schema of KernelConfig."""
    return KernelConfig.model_json_schema(schema_generator=_Plain)


def form_schema() -> Schema:
    """Give the schema that the dialog is drawn from.

    Patterns are left out: the server checks while a person types, and its sentences say more than
    that a pattern was not matched.
    """
    schema = json.loads(json.dumps(config_schema()))
    for field in schema["properties"].values():
        field.pop("pattern", None)
        field.pop("propertyNames", None)
    return dict(schema)


def form_ui() -> Schema:
    """Give the layout of the dialog.

    That is the order, what is folded away, the examples, and which fields the cluster's figures
    depend on.
    """
    layout: Schema = {"ui:order": list(KernelConfig.model_fields)}
    for name, schema in config_schema()["properties"].items():
        options: Schema = {
            "advanced": bool(schema.get("advanced")),
            "figures": name in ASKED_ABOUT,
        }
        if "section" in schema:
            options["section"] = schema["section"]
        if "examples" in schema:
            options["placeholder"] = str(schema["examples"][0])
        layout[name] = {"ui:options": options}
    return layout


def settings_schema() -> Schema:
    """Give JupyterLab's settings schema: menu entries, and a default for each field of the form."""
    # Jupyter Notebook's list of files has no launcher and no Kernel menu.
    new = {
        "id": "jp-mainmenu-file-new",
        "items": [{"command": "pyspark-kernels:create", "rank": 100}],
    }
    properties = {
        name: {key: value for key, value in schema.items() if key not in _OF_THE_FORM}
        for name, schema in config_schema()["properties"].items()
        if name not in _NOT_DEFAULTS
    }
    return {
        "jupyter.lab.setting-icon": "jupyterlab-pyspark-kernels:spark",
        "jupyter.lab.setting-icon-label": "PySpark Kernels",
        "jupyter.lab.menus": {
            "main": [
                {
                    "id": "jp-mainmenu-kernel",
                    "items": [
                        {"type": "separator", "rank": 20},
                        {"command": "pyspark-kernels:create", "rank": 20},
                        {"command": "pyspark-kernels:manager", "rank": 20},
                    ],
                },
                {"id": "jp-mainmenu-file", "items": [{"type": "submenu", "submenu": new}]},
            ]
        },
        "title": "PySpark Kernels",
        "description": "What a new PySpark kernel begins with.",
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
    }


def template_schema() -> Schema:
    """Give the JSON Schema of a template's file, for the editors of administrators."""
    made = TypeAdapter(TemplateFile | ClusterFile).json_schema(schema_generator=_Plain)
    head = {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "PySpark template"}
    return {**head, **made}


def openapi() -> Schema:
    """Describe the server's routes as OpenAPI 3.1."""
    models: list[type[BaseModel]] = [
        *(
            KernelConfig,
            Kernel,
            Preview,
            Environment,
            Place,
            Remark,
            Task,
            KeptArchive,
            Diagnosis,
            KernelReceipt,
            Flight,
            ClusterReport,
            Settings,
            Effective,
            KernelPair,
            Comparison,
            Export,
            Import,
            Offers,
            SparkUi,
            Applications,
        )
    ]
    _, made = models_json_schema(
        [
            (model, "serialization" if model is not KernelConfig else "validation")
            for model in models
        ],
        schema_generator=_Responses,
        ref_template="#/components/schemas/{model}",
    )
    components = {**made["$defs"], "KernelConfig": config_schema(), **_WRITTEN_OUT}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "jupyterlab-pyspark-kernels",
            "version": "1",
            "description": "Create and manage PySpark kernels. All routes are below the Jupyter "
            "server's base URL and need its authentication.",
        },
        "servers": [{"url": "/jupyterlab-pyspark-kernels"}],
        "paths": _PATHS,
        "components": {
            "schemas": dict(sorted(components.items())),
            "responses": {
                "Error": _answer("Error", "What is wrong, field by field."),
            },
        },
    }


class _Responses(GenerateJsonSchema):
    """JSON Schema of answers: null is said, and every field is always there."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        return True


def _answer(schema: str, description: str, many: bool = False) -> Schema:
    reference = {"$ref": f"#/components/schemas/{schema}"}
    content = {"type": "array", "items": reference} if many else reference
    return {"description": description, "content": {"application/json": {"schema": content}}}


def _any_object(description: str) -> Schema:
    return {"type": "object", "additionalProperties": True, "description": description}


_TASK_BEGUN = _answer("Task", "It takes longer; this is the task that does it.")
_TASK_ID = [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}]
_ERROR = {"4XX": {"$ref": "#/components/responses/Error"}}
_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/KernelConfig"}}},
}
_EMPTY_BODY = {
    "required": True,
    "content": {"application/json": {"schema": {"type": "object"}}},
}
_ADDRESS = [
    {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
    for name in ("place", "name")
]
_IF_MATCH = {
    "name": "If-Match",
    "in": "header",
    "required": True,
    "description": "The etag of the version that the change began with.",
    "schema": {"type": "string"},
}


def _body(properties: Schema, *required: str) -> Schema:
    schema = {"type": "object", "properties": properties, "required": list(required)}
    return {"required": True, "content": {"application/json": {"schema": schema}}}


_TEXT = {"type": "string"}
_WRITTEN_OUT: Schema = {
    "Error": {
        "type": "object",
        "properties": {
            "message": {"type": "string", "description": "All of `errors` as text."},
            "reason": {"type": "string", "description": "A fixed word for programs."},
            "errors": {"type": "array", "items": {"$ref": "#/components/schemas/Remark"}},
        },
        "required": ["message", "reason", "errors"],
    },
    "Environments": {
        "type": "object",
        "properties": {
            "environments": {
                "type": "array",
                "items": {"$ref": "#/components/schemas/Environment"},
            },
            "unanswered": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Where environments were looked for and the disk did not answer.",
            },
        },
        "required": ["environments", "unanswered"],
    },
    "Form": {
        "type": "object",
        "properties": {
            "schema": _any_object("JSON Schema of KernelConfig."),
            "uiSchema": _any_object("Layout for react-jsonschema-form."),
            "defaults": _any_object("What a new form begins with."),
            "places": {"type": "array", "items": {"$ref": "#/components/schemas/Place"}},
            "templates": {"$ref": "#/components/schemas/Offers"},
        },
        "required": ["schema", "uiSchema", "defaults", "places", "templates"],
    },
}
_UI_KERNEL = [
    {
        "name": "kernel",
        "in": "path",
        "required": True,
        "description": "The id of a kernel that this server runs.",
        "schema": {"type": "string"},
    }
]
_UI_PATH = [
    *_UI_KERNEL,
    {
        "name": "path",
        "in": "path",
        "required": True,
        "description": "The path within Spark's UI, slashes included.",
        "schema": {"type": "string"},
    },
]
_OF_SPARK = {"description": "What Spark answers; a redirect stays below this route."}
_PATHS: Schema = {
    "/form": {
        "get": {
            "summary": "What a dialog needs to draw itself",
            "responses": {
                "200": _answer("Form", "All that a dialog needs."),
                **_ERROR,
            },
        }
    },
    "/preview": {
        "post": {
            "summary": "Check a kernel and give the kernel.json it makes, writing nothing",
            "parameters": [
                {
                    "name": "editing",
                    "in": "query",
                    "description": "Whether the kernel is there already.",
                    "schema": {"type": "boolean", "default": False},
                }
            ],
            "requestBody": _BODY,
            "responses": {"200": _answer("Preview", "What would be written."), **_ERROR},
        }
    },
    "/cluster": {
        "post": {
            "summary": "Ask the cluster what it has, and whether the kernel's executors fit",
            "description": "Other fields may be missing or wrong still. That the cluster does not "
            "answer is part of the report. It takes up to 5 seconds.",
            "requestBody": _EMPTY_BODY,
            "responses": {"200": _answer("ClusterReport", "The figures."), **_ERROR},
        }
    },
    "/settings": {
        "post": {
            "summary": "List the settings that a kernel's Spark knows",
            "description": "Of the kernel nothing counts but `environment`, `spark_home` and "
            "JAVA_HOME in `env`. Once the task is done, the same request gives the settings.",
            "requestBody": _EMPTY_BODY,
            "responses": {
                "200": _answer("Settings", "The settings."),
                "202": _answer("Task", "That Spark is asked for the first time; by this task."),
                **_ERROR,
            },
        }
    },
    "/effective": {
        "post": {
            "summary": "Give every setting of a kernel, and where its value comes from",
            "description": "What Spark says of a setting is there once its settings were read.",
            "parameters": [
                {
                    "name": "all",
                    "in": "query",
                    "description": "Whether to list also what only Spark's default sets.",
                    "schema": {"type": "boolean", "default": False},
                }
            ],
            "requestBody": _EMPTY_BODY,
            "responses": {"200": _answer("Effective", "The settings in effect."), **_ERROR},
        }
    },
    "/compare": {
        "post": {
            "summary": "Compare two kernels field by field",
            "requestBody": {
                "required": True,
                "content": {
                    "application/json": {"schema": {"$ref": "#/components/schemas/KernelPair"}}
                },
            },
            "responses": {"200": _answer("Comparison", "Their fields side by side."), **_ERROR},
        }
    },
    "/environments": {
        "get": {
            "summary": "List the Python environments that were found",
            "responses": {"200": _answer("Environments", "The environments."), **_ERROR},
        }
    },
    "/environments/ready": {
        "post": {
            "summary": "Install into an environment what every kernel needs",
            "requestBody": _body({"environment": _TEXT}, "environment"),
            "responses": {"202": _TASK_BEGUN, **_ERROR},
        }
    },
    "/kernels": {
        "get": {
            "summary": "List the kernels of all places",
            "responses": {"200": _answer("Kernel", "The kernels.", many=True), **_ERROR},
        },
        "post": {
            "summary": "Create a kernel",
            "requestBody": _BODY,
            "responses": {
                "201": _answer("Kernel", "The new kernel."),
                "202": _TASK_BEGUN,
                **_ERROR,
            },
        },
    },
    "/kernels/{place}/{name}": {
        "parameters": _ADDRESS,
        "get": {
            "summary": "Give one kernel",
            "responses": {"200": _answer("Kernel", "The kernel."), **_ERROR},
        },
        "put": {
            "summary": "Write one kernel anew",
            "parameters": [_IF_MATCH],
            "requestBody": _BODY,
            "responses": {
                "200": _answer("Kernel", "The new version."),
                "202": _TASK_BEGUN,
                **_ERROR,
            },
        },
        "delete": {
            "summary": "Take one kernel away; it can be undone",
            "responses": {"204": {"description": "It is gone."}, **_ERROR},
        },
    },
    "/kernels/{place}/{name}/test": {
        "parameters": _ADDRESS,
        "post": {
            "summary": "Start a kernel in a scratch folder and let every executor do something",
            "requestBody": _EMPTY_BODY,
            "responses": {"202": _TASK_BEGUN, **_ERROR},
        },
    },
    "/test": {
        "post": {
            "summary": "Test in the same way a kernel that was not written",
            "requestBody": _BODY,
            "responses": {"202": _TASK_BEGUN, **_ERROR},
        }
    },
    "/kernels/{place}/{name}/doctor": {
        "parameters": _ADDRESS,
        "get": {
            "summary": "Tell why the last notebook of a kernel has no Spark",
            "responses": {"200": _answer("Diagnosis", "The causes.", many=True), **_ERROR},
        },
    },
    "/kernels/{place}/{name}/receipt": {
        "parameters": _ADDRESS,
        "get": {
            "summary": "Give what the last Spark of a kernel used, and what size would have done",
            "responses": {"200": _answer("KernelReceipt", "The receipt."), **_ERROR},
        },
    },
    "/kernels/{place}/{name}/move": {
        "parameters": _ADDRESS,
        "post": {
            "summary": "Give one kernel another name, label or place; it can be undone",
            "parameters": [_IF_MATCH],
            "requestBody": _body({"place": _TEXT, "name": _TEXT, "display_name": _TEXT}),
            "responses": {
                "201": _answer("Kernel", "The kernel as and where it is now."),
                "202": _TASK_BEGUN,
                **_ERROR,
            },
        },
    },
    "/kernels/{place}/{name}/export": {
        "parameters": _ADDRESS,
        "get": {
            "summary": "Give one kernel as text, without what looks like a secret",
            "parameters": [
                {
                    "name": "format",
                    "in": "query",
                    "schema": {"enum": list(get_args(ExportFormat)), "default": "kernel"},
                }
            ],
            "responses": {"200": _answer("Export", "The text."), **_ERROR},
        },
    },
    "/import": {
        "post": {
            "summary": "Read a spark-submit line, a kernel.json or a kernel file; nothing is "
            "written",
            "requestBody": _body({"text": _TEXT}, "text"),
            "responses": {"200": _answer("Import", "What it says of a kernel."), **_ERROR},
        }
    },
    "/kernels/{place}/{name}/repack": {
        "parameters": _ADDRESS,
        "post": {
            "summary": "Pack anew what the kernel's executors unpack",
            "requestBody": _EMPTY_BODY,
            "responses": {"202": _TASK_BEGUN, **_ERROR},
        },
    },
    "/archives": {
        "get": {
            "summary": "List the packed environments of all places",
            "responses": {
                "200": _answer("KeptArchive", "The archives.", many=True),
                **_ERROR,
            },
        }
    },
    "/archives/sweep": {
        "post": {
            "summary": "Remove this user's packed environments that nothing refers to",
            "requestBody": _EMPTY_BODY,
            "responses": {
                "200": _answer("KeptArchive", "Those that were removed.", many=True),
                **_ERROR,
            },
        }
    },
    "/undo": {
        "post": {
            "summary": "Take back the last delete, edit or move",
            "parameters": [
                {
                    "name": name,
                    "in": "query",
                    "description": description,
                    "schema": {"type": "string"},
                }
                for name, description in (
                    ("place", "Take back the last one in this place."),
                    ("name", "Take back the last one of this kernel."),
                )
            ],
            "requestBody": _EMPTY_BODY,
            "responses": {"200": _answer("Kernel", "The kernel as it is again."), **_ERROR},
        }
    },
    "/tasks": {
        "get": {
            "summary": "List long work that runs or has ended lately, the newest first",
            "responses": {"200": _answer("Task", "The tasks.", many=True), **_ERROR},
        }
    },
    "/tasks/{id}": {
        "parameters": _TASK_ID,
        "get": {
            "summary": "Give one task with its log",
            "responses": {"200": _answer("Task", "The task."), **_ERROR},
        },
        "delete": {
            "summary": "Cancel a task that runs, or forget one that has ended",
            "responses": {"204": {"description": "It is told to stop, or forgotten."}, **_ERROR},
        },
    },
    "/tasks/{id}/resume": {
        "parameters": _TASK_ID,
        "post": {
            "summary": "Take up again what was interrupted, cancelled or has failed",
            "requestBody": _EMPTY_BODY,
            "responses": {"202": _answer("Task", "The task as it runs again."), **_ERROR},
        },
    },
    "/applications": {
        "get": {
            "summary": "List this user's Spark applications, with those that have no kernel",
            "description": "Other Jupyter servers of the user and clusters are asked. It takes up "
            "to 6 seconds where they do not answer.",
            "responses": {"200": _answer("Applications", "The applications."), **_ERROR},
        }
    },
    "/applications/{application}": {
        "parameters": [
            {
                "name": "application",
                "in": "path",
                "required": True,
                "description": "The id that the list gives.",
                "schema": {"type": "string"},
            }
        ],
        "delete": {
            "summary": "Stop a Spark application",
            "description": "A kernel goes on without Spark, keeps its variables, and has Spark "
            "again when a cell needs it. What has no kernel of a server is ended.",
            "responses": {"204": {"description": "It has stopped."}, **_ERROR},
        },
    },
    "/ui/{kernel}": {
        "parameters": _UI_KERNEL,
        "get": {
            "summary": "Tell where the Spark UI of a running kernel is",
            "responses": {"200": _answer("SparkUi", "The address."), **_ERROR},
        },
    },
    "/ui/{kernel}/{path}": {
        "parameters": _UI_PATH,
        "get": {
            "summary": "Give a page, a file or an answer of the API of a kernel's Spark UI",
            "description": "Where Spark kills something by GET, a page asks first.",
            "responses": {"default": _OF_SPARK, **_ERROR},
        },
        "post": {
            "summary": "Kill a job, a stage or a query, as a link of Spark's UI would",
            "requestBody": _EMPTY_BODY,
            "responses": {"default": _OF_SPARK, **_ERROR},
        },
    },
}


def derived_files() -> dict[Path, str]:
    """Make the content of every derived file, by its path in the repository."""
    import yaml

    class Dumper(yaml.SafeDumper):
        """Writes shared pieces out in full: anchors would not mean anything to a reader."""

        def ignore_aliases(self, data: object) -> bool:
            return True

    head = "# Made by `python -m jupyterlab_pyspark_kernels.schemas`; edit the models instead.\n"
    return {
        TEMPLATE_FILE: json.dumps(template_schema(), indent=2, ensure_ascii=False) + "\n",
        SETTINGS_FILE: json.dumps(settings_schema(), indent=2, ensure_ascii=False) + "\n",
        OPENAPI_FILE: head
        + yaml.dump(openapi(), Dumper=Dumper, sort_keys=False, allow_unicode=True, width=100),
    }


if __name__ == "__main__":
    for path, content in derived_files().items():
        (ROOT / path).write_text(content, encoding="utf-8")
