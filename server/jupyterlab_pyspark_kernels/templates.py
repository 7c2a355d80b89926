"""Templates: what an administrator fixes, bounds, hides and offers, as files say it.

A file is a template, or a named cluster that templates refer to. Reading is strict and writes
nothing; a file that somebody else could change is not read at all.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import pwd
import re
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any, Literal, TypeAlias, get_args

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    StrictStr,
    TypeAdapter,
    ValidationError,
    model_validator,
)

from .aliases import GROUPS, canonical, field_of
from .config import LAUNCH_FACTS, KernelConfig
from .errors import quoted
from .fields import (
    ConfKey,
    ConfValue,
    EnvName,
    LabelName,
    LabelValue,
    SecretName,
    SecretReference,
    Value,
    template_name,
)
from .memory import parse_memory
from .owners import Guard
from .strictyaml import MAX_BYTES, NotStrict, read_yaml

Scalar: TypeAlias = StrictStr | StrictInt | StrictBool

SUFFIXES = (".yaml", ".yml")

FACTS = ("user", "uid", "home", "hub_user", "hub_server")
"""What `${…}` in a value may name: facts of whoever makes the kernel, as the server knows them."""

_AT_LAUNCH = ("conf", "env", "labels", "proxy_user")
"""The fields whose values the launcher fills in."""

_PLACEHOLDER = re.compile(r"\$(\$|\{([^}]*)\}?)")
_NOT_RULED = {"name", "place", "template", "choices", "per_user", *GROUPS}

_NAMES = {"conf": ConfKey, "env": EnvName, "labels": LabelName, "secrets": SecretName}
_VALUES = {"conf": ConfValue, "env": Value, "labels": LabelValue, "secrets": SecretReference}
"""What the names and the values in the fields of many entries have to be."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Rule(_Part):
    """What holds for one setting."""

    fixed: Scalar | None = Field(None, description="The value; nobody can choose another.")
    default: Scalar | None = Field(None, description="The value of who gives none.")
    min: Scalar | None = Field(None, description="The least number or amount of memory.")
    max: Scalar | None = Field(None, description="The greatest number or amount of memory.")
    one_of: list[Scalar] | None = Field(None, description="The only values to choose from.")
    hidden: StrictBool = Field(
        False,
        description="Nobody sees it in the form, and nobody gives it another value than the one "
        "here, or any value where there is none here.",
    )
    reason: StrictStr = Field("", description="Why, for those who meet the rule.")

    @model_validator(mode="after")
    def _fits(self) -> Rule:
        bounded = (self.min, self.max, self.one_of) != (None, None, None)
        if self.fixed is not None and (bounded or self.default is not None):
            raise ValueError("what is fixed needs no default, min, max or one_of")
        if self.one_of is not None and (self.min, self.max) != (None, None):
            raise ValueError("one_of needs no min and max")
        if bounded and self.default is None:
            # Without a value of its own a setting could come from a spark-defaults.conf.
            raise ValueError("what is bounded needs a default")
        return self

    @property
    def value(self) -> Scalar | None:
        """The value of who gives none."""
        return self.default if self.fixed is None else self.fixed

    @property
    def locked(self) -> bool:
        """Whether nobody can choose the value."""
        return self.fixed is not None or self.hidden


class Bundle(_Part):
    """Values that are chosen together."""

    title: StrictStr = Field("", description="What the form calls it; its name when left out.")
    description: StrictStr = ""
    fields: dict[str, Scalar] = Field({}, description="Values of KernelConfig's fields.")
    conf: dict[str, Scalar] = Field({}, description="Values of spark.* settings.")
    env: dict[str, Scalar] = Field({}, description="Values of environment variables.")
    labels: dict[str, Scalar] = Field({}, description="Values of labels.")
    secrets: dict[str, Scalar] = Field({}, description="Where secrets are found.")


class TemplateFile(_Part):
    """A template: what kernels that are made with it can be."""

    kind: Literal["template"] = "template"
    version: Literal[1] = Field(description="The version of this format.")
    title: StrictStr = Field(description="What the form calls it.")
    description: StrictStr = ""
    reason: StrictStr = Field("", description="The reason of rules that give none of their own.")
    cluster: StrictStr | None = Field(None, description="The name of a file of kind cluster.")
    fields: dict[str, Rule] = Field({}, description="Rules for KernelConfig's fields.")
    conf: dict[str, Rule] = Field({}, description="Rules for spark.* settings.")
    env: dict[str, Rule] = Field({}, description="Rules for environment variables.")
    labels: dict[str, Rule] = Field({}, description="Rules for labels.")
    secrets: dict[str, Rule] = Field({}, description="Rules for where secrets are found.")
    closed: list[Literal["conf", "env", "labels", "secrets"]] = Field(
        [], description="Where only what this template names can be set."
    )
    sizes: dict[str, Bundle] = Field({}, description="Of these, one is always chosen.")
    size: StrictStr | None = Field(None, description="The size of who chooses none.")
    options: dict[str, Bundle] = Field({}, description="Of these, any can be chosen.")

    @model_validator(mode="after")
    def _fits(self) -> TemplateFile:
        if bool(self.sizes) != (self.size is not None) or (
            self.size is not None and self.size not in self.sizes
        ):
            raise ValueError("size has to be the name of one of sizes")
        for name in (*self.sizes, *self.options):
            if re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,30}", name) is None:
                raise ValueError(f"{quoted(name)} is not the name of a size or option")
        if both := self.sizes.keys() & self.options.keys():
            raise ValueError(f"{quoted(min(both))} is both a size and an option")
        return self


class Driver(_Part):
    """Where the executors of a cluster reach the drivers."""

    address: StrictStr | None = Field(None, description="The driver's host as executors see it.")
    bind_address: StrictStr | None = Field(None, description="Where the driver listens.")
    ports: StrictStr | None = Field(
        None,
        pattern=r"^[1-9][0-9]{3,4}-[1-9][0-9]{3,4}$",
        description="The ports that a firewall leaves open, such as 40000-40099; a notebook takes "
        "two of them.",
    )


class ClusterFile(_Part):
    """A cluster that templates refer to by its name."""

    kind: Literal["cluster"]
    version: Literal[1] = Field(description="The version of this format.")
    title: StrictStr = ""
    reason: StrictStr = Field("", description="Why what it fixes is fixed.")
    master: StrictStr
    spark_home: StrictStr | None = None
    conf: dict[str, Scalar] = {}
    env: dict[str, Scalar] = {}
    secrets: dict[str, Scalar] = {}
    driver: Driver = Driver()


FileContent: TypeAlias = Annotated[TemplateFile | ClusterFile, Field(union_mode="left_to_right")]


@dataclass(frozen=True)
class Template:
    """A template as it is used: its rules by the one name of each setting.

    Attributes:
        name: how a kernel refers to it.
        digest: changes whenever it, or the cluster that it refers to, does.
        file: the texts of it, and the names of sizes and options.
        rules: what holds for which setting, whatever is chosen.
        bundles: the rules of each size and option.

    """

    name: str
    digest: str
    file: TemplateFile
    rules: Mapping[str, Rule]
    bundles: Mapping[str, Mapping[str, Rule]]

    @property
    def reference(self) -> str:
        """What a kernel keeps of it."""
        return f"{self.name}@{self.digest}"


@dataclass(frozen=True)
class Problem:
    """A file or directory that is not used, and why."""

    path: str
    reason: str


@dataclass(frozen=True)
class Catalog:
    """The templates there are, and what was not used."""

    templates: Mapping[str, Template] = dataclasses.field(default_factory=dict)
    problems: Sequence[Problem] = ()


class Broken(ValueError):
    """A file that is no template; each line of the message is one thing that is wrong."""


# --- the files ---------------------------------------------------------------------------------


def read_catalog(directories: Iterable[str], administrators: Iterable[str] = ()) -> Catalog:
    """Read the templates of some directories, the first of equal names.

    Args:
        directories: paths that an administrator named.
        administrators: the users, beside root, who may own them and all in them.

    """
    problems: list[Problem] = []
    owners = {0, *_uids(administrators, problems)}
    contents: dict[str, FileContent] = {}
    paths: dict[str, Path] = {}
    for path in _files(directories, owners, problems):
        # One that cannot be used takes its name all the same: another must not loosen its locks.
        if (first := paths.setdefault(path.stem, path)) != path:
            problems.append(Problem(str(path), f"{first} has the same name"))
            continue
        try:
            contents[path.stem] = read_file(path)
        except (Broken, OSError) as error:
            problems.append(Problem(str(path), str(error)))
    clusters = {name: one for name, one in contents.items() if isinstance(one, ClusterFile)}
    templates = {}
    for name, content in contents.items():
        try:
            if isinstance(content, ClusterFile):
                _cluster_rules(content)
            else:
                templates[name] = make_template(name, content, clusters)
        except Broken as error:
            problems.append(Problem(str(paths[name]), str(error)))
    return Catalog(templates, problems)


def read_file(path: Path) -> FileContent:
    """Read one file.

    Raises:
        Broken: when it is neither a template nor a cluster.
        OSError: when it cannot be read.

    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        # Looked at first: Python makes no file of a directory, and would leave it open.
        if not stat.S_ISREG(os.fstat(fd).st_mode):
            raise Broken("it is not a file")
        with os.fdopen(fd, "rb", closefd=False) as file:
            content = file.read(MAX_BYTES + 1)
    finally:
        os.close(fd)
    if template_name(path.stem) is None:
        raise Broken("its name may hold lower case letters, digits, dots, dashes and underscores")
    return parse(content)


@lru_cache(maxsize=256)
def parse(content: bytes) -> FileContent:
    """Read what a file says.

    Raises:
        Broken: when it is neither a template nor a cluster.

    """
    try:
        data = read_yaml(content)
    except NotStrict as error:
        raise Broken(str(error)) from None
    if not isinstance(data, dict):
        raise Broken("it is not a mapping of names and values")
    model = ClusterFile if data.get("kind") == "cluster" else TemplateFile
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise Broken("\n".join(_explain(detail) for detail in error.errors())) from None


def _explain(detail: Any) -> str:
    kinds = {"str", "int", "bool"}
    path = ".".join(str(part) for part in detail["loc"] if str(part) not in kinds)
    messages = {
        "extra_forbidden": "nothing is called so here",
        "missing": "is missing",
        "value_error": str(detail.get("ctx", {}).get("error", "")),
    }
    return f"{path}: {messages.get(detail['type'], detail['msg'])}".removeprefix(": ")


def _files(
    directories: Iterable[str], owners: Iterable[int], problems: list[Problem]
) -> Iterator[Path]:
    guard = Guard(owners, read_only=True)
    for name in dict.fromkeys(directories):
        directory = Path(name)
        if not directory.is_absolute():
            problems.append(Problem(name, "it is not an absolute path"))
            continue
        if (reason := guard.who_could_change([name])) is not None:
            problems.append(Problem(name, reason))
            continue
        try:
            entries = sorted(directory.iterdir())
        except OSError as error:
            problems.append(Problem(name, f"it cannot be listed: {error.strerror}"))
            continue
        for path in entries:
            if path.suffix not in SUFFIXES or path.name.startswith("."):
                continue
            reason = guard.who_could_change([str(path)])
            if reason is None and not path.resolve().is_relative_to(directory.resolve()):
                reason = "it is a link that leads out of the directory"
            if reason is None:
                yield path
            else:
                problems.append(Problem(str(path), reason))


def _uids(names: Iterable[str], problems: list[Problem]) -> Iterator[int]:
    for name in names:
        try:
            yield pwd.getpwnam(name).pw_uid
        except KeyError:
            problems.append(Problem(name, "there is no such user, who would be an administrator"))


# --- what they mean ----------------------------------------------------------------------------


def make_template(
    name: str, content: TemplateFile, clusters: Mapping[str, ClusterFile]
) -> Template:
    """Make a template of what its file says.

    Raises:
        Broken: with everything in it that could not work.

    """
    rules: dict[str, Rule] = {}
    cluster = clusters.get(content.cluster or "")
    if content.cluster is not None and cluster is None:
        raise Broken(f"cluster: there is no cluster {quoted(content.cluster)} that can be used")
    if cluster is not None:
        rules.update(_cluster_rules(cluster))
    own = _settings(content.fields, _entries(content))
    if twice := rules.keys() & own.keys():
        raise Broken(f"{min(twice)}: the cluster {quoted(content.cluster)} fixes it already")
    rules.update(own)
    bundles = {
        name: {
            setting: Rule(fixed=value, reason=f"{bundle.title or name} sets it.")
            for setting, value in _settings(bundle.fields, _entries(bundle)).items()
        }
        for name, bundle in (*content.sizes.items(), *content.options.items())
    }
    for chosen, bundle in bundles.items():
        if twice := {setting for setting in bundle if setting in rules and rules[setting].locked}:
            raise Broken(f"{chosen}.{min(twice)}: it is fixed whatever is chosen")
    _check_sizes(content, bundles)
    for group in (rules, *bundles.values()):
        for setting, rule in group.items():
            _check_rule(setting, rule)
    rules = {
        setting: rule if rule.reason else rule.model_copy(update={"reason": content.reason})
        for setting, rule in rules.items()
    }
    made = json.dumps(
        [content.model_dump(), cluster and cluster.model_dump()], sort_keys=True
    ).encode()
    return Template(name, hashlib.sha256(made).hexdigest()[:12], content, rules, bundles)


def _check_sizes(content: TemplateFile, bundles: Mapping[str, Mapping[str, Rule]]) -> None:
    """Make sure that each size says the same things; what one left out would be left open."""
    settings = {name: set(bundles[name]) for name in content.sizes}
    every: set[str] = set().union(*settings.values())
    for name, found in settings.items():
        if missing := every - found:
            raise Broken(f"sizes.{name}: {min(missing)} is missing, which another size sets")


def _cluster_rules(cluster: ClusterFile) -> dict[str, Rule]:
    driver = cluster.driver
    conf: dict[str, Scalar] = {**cluster.conf}
    if driver.address is not None:
        conf["spark.driver.host"] = driver.address
    if driver.bind_address is not None:
        conf["spark.driver.bindAddress"] = driver.bind_address
    if driver.ports is not None:
        first, last = map(int, driver.ports.split("-"))
        if not first < last <= 65535:
            raise Broken(f"driver.ports: {quoted(driver.ports)} are not two ports or more")
        # Each of the two takes the next port when one is taken, up to so many times.
        conf["spark.driver.port"] = conf["spark.driver.blockManager.port"] = first
        conf["spark.port.maxRetries"] = last - first
    fields: dict[str, Scalar] = {"master": cluster.master}
    if cluster.spark_home is not None:
        fields["spark_home"] = cluster.spark_home
    rules = {
        setting: Rule(fixed=value, reason=cluster.reason)
        for setting, value in _settings(fields, {**_entries(cluster), "conf": conf}).items()
    }
    for setting, rule in rules.items():
        _check_rule(setting, rule)
    return rules


def _entries(part: TemplateFile | ClusterFile | Bundle) -> dict[str, Mapping[str, Any]]:
    return {group: getattr(part, group, {}) for group in GROUPS}


def _settings(
    fields: Mapping[str, Any], entries: Mapping[str, Mapping[str, Any]]
) -> dict[str, Any]:
    """Put what is said of fields, settings, variables, labels and secrets under one name each."""
    found: dict[str, Any] = {}
    for name in fields:
        if name not in KernelConfig.model_fields or name in _NOT_RULED:
            raise Broken(f"fields.{name}: it is not a field that a template can rule")
    pairs = [*fields.items()]
    for group, prefix in GROUPS.items():
        for name, value in entries[group].items():
            _check_name(_NAMES[group], group, name)
            pairs.append((canonical(prefix + name), value))
    for setting, value in pairs:
        if setting in found:
            raise Broken(f"{setting}: it is named twice, by its field and its key or by an old key")
        found[setting] = value
    return found


def _check_name(kind: Any, group: str, name: str) -> None:
    try:
        TypeAdapter(kind).validate_python(name)
    except ValidationError as error:
        raise Broken(f"{group}.{name}: {error.errors()[0]['msg']}") from None


def _check_rule(setting: str, rule: Rule) -> None:
    field = KernelConfig.model_fields.get(setting)
    if rule.hidden and rule.value is None and field is not None and field.is_required():
        raise Broken(f"{setting}: it cannot be hidden without a value, as every kernel needs one")
    values = (rule.fixed, rule.default, *(rule.one_of or ()))
    for value in values:
        if value is not None:
            _check_value(setting, value)
    for bound in (rule.min, rule.max):
        if bound is not None and amount(setting, bound) is None:
            raise Broken(f"{setting}: {quoted(bound)} is neither a number nor an amount of memory")
    if rule.min is not None and rule.max is not None and not rule.hidden:
        least, most = amount(setting, rule.min), amount(setting, rule.max, rule.min)
        if least is None or most is None or least > most:
            raise Broken(f"{setting}: nothing lies between min and max")
    if rule.default is not None and (wrong := why_not(setting, rule, rule.default)) is not None:
        raise Broken(f"{setting}: its default {wrong}")


def _check_value(setting: str, value: Scalar) -> None:
    names = list(placeholders(str(value)))
    for name in names:
        known = name in FACTS or name.removeprefix("launch.") in LAUNCH_FACTS
        if not known:
            known_ones = (*FACTS, *(f"launch.{fact}" for fact in LAUNCH_FACTS))
            raise Broken(
                f"{setting}: {quoted('${' + name + '}')} is not known. Use one of: "
                f"{', '.join(known_ones)}; write $$ for $ itself"
            )
    at_launch = any(name.startswith("launch.") for name in names)
    if at_launch and field_of(setting) not in _AT_LAUNCH:
        raise Broken(f"{setting}: only {', '.join(_AT_LAUNCH)} can wait for the launch")
    if at_launch and "$$" in str(value):
        raise Broken(f"{setting}: a value with $$ cannot wait for the launch")
    if names:
        # It is checked when it is known.
        return
    try:
        _adapter(setting).validate_python(plain(setting, value), strict=True)
    except ValidationError as error:
        raise Broken(f"{setting}: {error.errors()[0]['msg']}") from None


@lru_cache(maxsize=64)
def _adapter(setting: str) -> TypeAdapter[Any]:
    if (group := _VALUES.get(field_of(setting))) is not None:
        return TypeAdapter(group)
    info = KernelConfig.model_fields[setting]
    # Its metadata hold the checks of a field whose type is not optional.
    kind: Any = info.annotation
    return TypeAdapter(Annotated[(kind, *info.metadata)] if info.metadata else kind)


def placeholders(text: str) -> Iterator[str]:
    """List the names that `${…}` in a text stands for."""
    for found in _PLACEHOLDER.finditer(text):
        if found[1] != "$":
            yield found[2] if found[0].endswith("}") else found[0]


def substituted(text: str, facts: Mapping[str, str]) -> str:
    """Fill facts in, once: what is filled in is not looked at again.

    Raises:
        KeyError: the name of a fact that is not there.

    """

    def fill(found: re.Match[str]) -> str:
        if found[1] == "$":
            return "$"
        return found[0] if found[2].startswith("launch.") else facts[found[2]]

    return _PLACEHOLDER.sub(fill, text)


def plain(setting: str, value: Scalar) -> Any:
    """Give a value as KernelConfig has it: text, but for flags and counts."""
    if field_of(setting) in GROUPS:
        return str(value).lower() if isinstance(value, bool) else str(value)
    if _holds(setting, bool) or (_holds(setting, int) and isinstance(value, int)):
        return value
    return str(value)


def _holds(setting: str, kind: type) -> bool:
    annotation = KernelConfig.model_fields[setting].annotation
    return annotation is kind or kind in get_args(annotation)


# --- what a value has to be --------------------------------------------------------------------


def why_not(setting: str, rule: Rule, value: Any) -> str | None:
    """Say how a value breaks the bounds of a rule: the end of a sentence, or `None`."""
    if rule.one_of is not None and not any(same(setting, value, one) for one in rule.one_of):
        return f"is none of: {', '.join(map(str, rule.one_of))}"
    if rule.min is not None and not _is_in_order(setting, rule.min, value):
        return f"is less than {rule.min}, the least that is allowed"
    if rule.max is not None and not _is_in_order(setting, value, rule.max):
        return f"is more than {rule.max}, the most that is allowed"
    return None


def same(setting: str, one: Any, other: Any) -> bool:
    """Tell whether two values mean the same."""
    if _is_memory(setting):
        return amount(setting, one) == amount(setting, other)
    if setting in ("environment", "spark_home", "executor_python"):
        return _normal_path(str(one)) == _normal_path(str(other))
    return str(plain(setting, one)) == str(plain(setting, other))


def _normal_path(path: str) -> str:
    # Other homes than one's own are no path of a kernel, and asking for them may fail.
    return os.path.normpath(os.path.expanduser(path) if path.startswith("~/") else path)


def _is_in_order(setting: str, less: Any, more: Any) -> bool:
    first, second = amount(setting, less, more), amount(setting, more, less)
    return first is not None and second is not None and first <= second


def amount(setting: str, value: Any, beside: Any = None) -> float | None:
    """Give a number or an amount of memory as a number, or `None` when it is neither.

    Args:
        setting: whose value it is.
        value: the number or amount.
        beside: what it is compared with: beside an amount of memory, a number is MiB.

    """
    text = str(value).strip()
    if not _is_memory(setting) and not (_has_unit(text) or _has_unit(str(beside))):
        # Numbers as Java reads them: no underscores, no infinity.
        is_number = re.fullmatch(r"[-+]?[0-9]{1,18}(\.[0-9]{1,18})?", text, re.ASCII)
        return float(text) if is_number else None
    try:
        return parse_memory(text)
    except ValueError:
        return None


def _has_unit(text: str) -> bool:
    return re.fullmatch(r"[0-9]+[A-Za-z]{1,2}", text) is not None


def _is_memory(setting: str) -> bool:
    return setting in ("driver_memory", "executor_memory")
