"""Templates as files: what is read, what is refused, and whom they are taken from."""

import json
import os
import pwd
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from jupyterlab_pyspark_kernels.owners import Guard
from jupyterlab_pyspark_kernels.schemas import template_schema
from jupyterlab_pyspark_kernels.strictyaml import MAX_BYTES, MAX_DEPTH, NotStrict, read_yaml
from jupyterlab_pyspark_kernels.templates import (
    Broken,
    ClusterFile,
    Rule,
    TemplateFile,
    amount,
    make_template,
    parse,
    read_catalog,
    read_file,
    same,
    why_not,
)

LEAST = "version: 1\ntitle: T\n"
ME = pwd.getpwuid(os.getuid()).pw_name


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    found = tmp_path / "templates"
    found.mkdir(mode=0o755)
    found.chmod(0o755)
    return found


# --- YAML --------------------------------------------------------------------------------------

TEXTS = st.recursive(
    st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(TEXTS)
def test_quoted_text_reads_as_it_was_written(data: object) -> None:
    text = yaml.safe_dump(data, default_style='"', allow_unicode=False)
    assert read_yaml(text.encode()) == data


@given(st.integers(-(10**17), 10**17) | st.booleans())
def test_numbers_and_flags_read_as_json_writes_them(value: object) -> None:
    assert read_yaml(f"a: {json.dumps(value)}".encode()) == {"a": value}


def test_words_are_what_json_takes_them_for() -> None:
    found = read_yaml(b"a: no\nb: 010\nc: 12:30:45\nd: 8\ne: true\nf: 'true'\ng: 1e3\nh: -4\n")
    assert found == {
        "a": "no",
        "b": "010",
        "c": "12:30:45",
        "d": 8,
        "e": True,
        "f": "true",
        "g": "1e3",
        "h": -4,
    }


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: &x 1\nb: *x\n", "line 1: anchors and aliases"),
        ("a: &a [*a]\n", "line 1: anchors and aliases"),
        ("a: 1\na: 2\n", "line 2: “a” stands there twice"),
        ("a: !!python/object/apply:os.system [id]\n", "line 1: tags are not allowed"),
        ("a: !!str 1\n", "line 1: tags are not allowed"),
        ("a:\n", "line 1: “a” has no value"),
        ("a: 1\n---\nb: 2\n", "line 2: only one document"),
        ("%YAML 1.1\n---\na: 1\n", "only one document without directives"),
        ("? [a]\n: 1\n", "a key has to be a word"),
        ("a: [1\n", "it is not YAML"),
        ("a: \x01\n", "it is not YAML"),
        ('a: "\\UFFFFFFFF"\n', "it is not YAML"),
        ('a: "\\U00110000"\n', "it is not YAML"),
        ("", "it is empty"),
        ("[" * (MAX_DEPTH + 1), f"nested deeper than {MAX_DEPTH}"),
        ("[" * 200_000, f"nested deeper than {MAX_DEPTH}"),
        ("a" * (MAX_BYTES + 1), "larger than 256 KiB"),
    ],
)
def test_hostile_yaml_is_refused(text: str, problem: str) -> None:
    with pytest.raises(NotStrict) as refused:
        read_yaml(text.encode())
    assert problem in str(refused.value)


def test_yaml_that_is_not_utf_8_is_refused() -> None:
    with pytest.raises(NotStrict, match="not UTF-8"):
        read_yaml(b"a: \xff")


# --- what a file says --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("fieldz: {}", "fieldz: nothing is called so here"),
        ("fields: {driver_memory: {fixd: 1g}}", "fields.driver_memory.fixd: nothing is called so"),
        ("fields: {driver_memory: {fixed: 1g, max: 2g}}", "what is fixed needs no default"),
        ("fields: {driver_memory: {max: 2g}}", "what is bounded needs a default"),
        ("fields: {driver_memory: {default: 4g, max: 2g}}", "its default is more than 2g"),
        ("fields: {driver_memory: {default: much}}", "“much” is not an amount of memory"),
        ("fields: {executor_cores: {default: 0}}", "does not count anything"),
        ("fields: {executor_cores: {default: 2, min: x}}", "neither a number nor an amount"),
        ("fields: {executor_cores: {default: 2, min: 3, max: 1}}", "nothing lies between"),
        ("fields: {name: {fixed: x}}", "not a field that a template can rule"),
        ("fields: {conf: {hidden: true}}", "not a field that a template can rule"),
        ("fields: {environment: {hidden: true}}", "cannot be hidden without a value"),
        ("fields: {master: {fixed: nonsense}}", "master: "),
        ("conf: {spark.remote: {fixed: x}}", "spark.remote is set by the kernel itself"),
        ("conf: {nonsense: {fixed: x}}", "is not a Spark setting"),
        ("env: {PYSPARK_SUBMIT_ARGS: {fixed: x}}", "is set by the kernel itself"),
        (
            "fields: {driver_memory: {fixed: 1g}}\nconf: {spark.driver.memory: {fixed: 2g}}",
            "driver_memory: it is named twice",
        ),
        (
            "conf: {spark.yarn.executor.memoryOverhead: {fixed: 1}, "
            "spark.executor.memoryOverhead: {fixed: 2}}",
            "is named twice",
        ),
        ("conf: {spark.x: {fixed: '${HOME}'}}", "“${HOME}” is not known"),
        ("conf: {spark.x: {fixed: '${user'}}", "is not known"),
        (
            "fields: {spark_home: {fixed: '/${launch.user}'}}",
            "only conf, env, labels, proxy_user can wait",
        ),
        ("conf: {spark.x: {fixed: '$${launch.user}${launch.uid}'}}", "with $$ cannot wait"),
        ("sizes: {S: {fields: {executor_memory: 1g}}}", "size has to be the name of one of sizes"),
        (
            "size: S\nsizes: {S: {fields: {executor_memory: 1g}}, M: {conf: {spark.x: 1}}}",
            "sizes.S: spark.x is missing, which another size sets",
        ),
        (
            "fields: {executor_memory: {fixed: 1g}}\n"
            "options: {big: {fields: {executor_memory: 9g}}}",
            "big.executor_memory: it is fixed whatever is chosen",
        ),
        ("cluster: prod", "there is no cluster “prod”"),
        ("version: 2", "stands there twice"),
        ("closed: [everything]", "closed.0"),
    ],
)
def test_a_file_that_could_not_work_is_refused(text: str, problem: str) -> None:
    with pytest.raises(Broken) as refused:
        content = parse(f"{LEAST}{text}\n".encode())
        assert isinstance(content, TemplateFile)
        make_template("t", content, {})
    assert problem in str(refused.value)


CLUSTER = """
kind: cluster
version: 1
reason: The data platform runs one cluster.
master: yarn
spark_home: /opt/spark
conf: {spark.yarn.queue: analytics}
env: {HADOOP_CONF_DIR: /etc/hadoop/conf}
driver: {address: hub.example.org, bind_address: 0.0.0.0, ports: 40000-40099}
"""


def test_a_cluster_fixes_what_it_says() -> None:
    cluster = parse(CLUSTER.encode())
    content = parse(f"{LEAST}cluster: prod\n".encode())
    assert isinstance(cluster, ClusterFile)
    assert isinstance(content, TemplateFile)
    template = make_template("t", content, {"prod": cluster})
    assert {setting: rule.fixed for setting, rule in template.rules.items()} == {
        "master": "yarn",
        "spark_home": "/opt/spark",
        "queue": "analytics",
        "spark.driver.host": "hub.example.org",
        "spark.driver.bindAddress": "0.0.0.0",
        "spark.driver.port": 40000,
        "spark.driver.blockManager.port": 40000,
        "spark.port.maxRetries": 99,
        "env:HADOOP_CONF_DIR": "/etc/hadoop/conf",
    }
    assert {rule.reason for rule in template.rules.values()} == {
        "The data platform runs one cluster."
    }
    moved = parse(CLUSTER.replace("analytics", "other").encode())
    assert isinstance(moved, ClusterFile)
    assert make_template("t", content, {"prod": moved}).digest != template.digest


@pytest.mark.parametrize(
    ("setting", "rule", "value", "fine"),
    [
        ("driver_memory", Rule(default="1g", min="1g", max="4g"), "4096m", True),
        ("driver_memory", Rule(default="1g", max="4g"), "4097m", False),
        ("driver_memory", Rule(default="1g", max="4g"), "1t", False),
        ("driver_memory", Rule(default="1g", one_of=["1g", "2g"]), "2048m", True),
        ("executor_cores", Rule(default=1, max=4), 4, True),
        ("executor_cores", Rule(default=1, max=4), 5, False),
        ("spark.executor.memoryOverhead", Rule(default="1g", max="2g"), "2048", True),
        ("spark.executor.memoryOverhead", Rule(default="1g", max="2g"), "3g", False),
        ("spark.executor.memoryOverhead", Rule(default="1g", max="2g"), "${spark.x}", False),
        ("spark.sql.shuffle.partitions", Rule(default=8, max=1000), "1001", False),
        ("spark.sql.shuffle.partitions", Rule(default=8, max=1000), "1_0", False),
        ("spark.x", Rule(default="0.5", max=1), "inf", False),
        ("spark.x", Rule(default="a", one_of=["a", "b"]), "c", False),
    ],
)
def test_bounds(setting: str, rule: Rule, value: object, fine: bool) -> None:
    assert (why_not(setting, rule, value) is None) == fine


def test_equal_values() -> None:
    assert same("driver_memory", "4g", "4096m")
    assert not same("driver_memory", "4g", "4097m")
    assert same("spark_home", "/opt/spark/", "/opt/spark")
    assert same("spark.x", True, "true")
    assert not same("spark.x", "A", "a")
    assert amount("executor_cores", 4) == 4


def test_the_schema_for_editors_takes_the_same_words() -> None:
    names = template_schema()["$defs"]
    assert set(names["TemplateFile"]["properties"]) == set(TemplateFile.model_fields)
    assert names["Rule"]["additionalProperties"] is False


# --- from whom ---------------------------------------------------------------------------------


def test_templates_of_a_directory(directory: Path) -> None:
    (directory / "good.yaml").write_text(LEAST)
    (directory / "prod.yaml").write_text(CLUSTER)
    (directory / "on-prod.yml").write_text(f"{LEAST}cluster: prod\n")
    (directory / "broken.yaml").write_text("version: 1\n")
    (directory / "Upper.yaml").write_text(LEAST)
    (directory / "notes.txt").write_text("not looked at")
    (directory / ".hidden.yaml").write_text("not looked at")
    catalog = read_catalog([str(directory)], [ME])
    assert set(catalog.templates) == {"good", "on-prod"}
    assert {Path(one.path).name: one.reason.split(":")[0] for one in catalog.problems} == {
        "broken.yaml": "title",
        "Upper.yaml": "its name may hold lower case letters, digits, dots, dashes and underscores",
    }


def test_the_first_of_equal_names_counts(directory: Path, tmp_path: Path) -> None:
    second = tmp_path / "second"
    second.mkdir(mode=0o755)
    for place, title in ((directory, "First"), (second, "Second")):
        (place / "t.yaml").write_text(f"version: 1\ntitle: {title}\n")
    catalog = read_catalog([str(directory), str(second)], [ME])
    assert catalog.templates["t"].file.title == "First"
    assert [one.path for one in catalog.problems] == [str(second / "t.yaml")]


def spoil_directory(directory: Path) -> None:
    directory.chmod(0o777)


def spoil_parent(directory: Path) -> None:
    directory.parent.chmod(0o777)


def spoil_file(directory: Path) -> None:
    (directory / "t.yaml").chmod(0o666)


def spoil_by_link(directory: Path) -> None:
    outside = directory.parent / "outside.yaml"
    outside.write_text(LEAST)
    (directory / "t.yaml").unlink()
    (directory / "t.yaml").symlink_to(outside)


def spoil_by_link_on_the_way(directory: Path) -> None:
    open_to_all = directory.parent / "open"
    open_to_all.mkdir()
    open_to_all.chmod(0o777)
    (open_to_all / "t.yaml").write_text(LEAST)
    directory.rename(directory.parent / "moved")
    directory.symlink_to(open_to_all)


def spoil_by_fifo(directory: Path) -> None:
    (directory / "t.yaml").unlink()
    os.mkfifo(directory / "t.yaml", 0o644)


@pytest.mark.parametrize(
    "spoil",
    [
        *(spoil_directory, spoil_parent, spoil_file),
        *(spoil_by_link, spoil_by_link_on_the_way, spoil_by_fifo),
    ],
)
def test_what_others_could_change_is_not_used(
    directory: Path, spoil: Callable[[Path], None]
) -> None:
    (directory / "t.yaml").write_text(LEAST)
    (directory / "t.yaml").chmod(0o644)
    assert set(read_catalog([str(directory)], [ME]).templates) == {"t"}
    spoil(directory)
    catalog = read_catalog([str(directory)], [ME])
    assert not catalog.templates
    assert len(catalog.problems) == 1


def test_links_inside_a_directory_are_followed(directory: Path) -> None:
    """As a ConfigMap lays out its files."""
    (directory / "..2026").mkdir(mode=0o755)
    (directory / "..2026" / "t.yaml").write_text(LEAST)
    (directory / "..data").symlink_to("..2026")
    (directory / "t.yaml").symlink_to("..data/t.yaml")
    assert set(read_catalog([str(directory)], [ME]).templates) == {"t"}


def test_only_root_and_administrators_may_own_them(directory: Path) -> None:
    (directory / "t.yaml").write_text(LEAST)
    if os.getuid() == 0:
        os.chown(directory / "t.yaml", pwd.getpwnam("nobody").pw_uid, -1)
        assert not read_catalog([str(directory)]).templates
        assert set(read_catalog([str(directory)], ["nobody"]).templates) == {"t"}
    else:
        assert not read_catalog([str(directory)]).templates
        assert set(read_catalog([str(directory)], [ME]).templates) == {"t"}
    assert "there is no such user" in read_catalog([], ["no-such-user"]).problems[0].reason


def test_a_link_that_leads_to_itself_is_no_trap(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    reason = Guard.of_user().who_could_change([str(tmp_path / "loop")])
    assert reason is not None
    assert "leads to itself" in reason


def test_a_relative_or_missing_directory_is_told(tmp_path: Path) -> None:
    catalog = read_catalog(["templates", str(tmp_path / "gone")], [ME])
    assert [one.reason.split(": ")[-1] for one in catalog.problems] == [
        "it is not an absolute path",
        "No such file or directory.",
    ]


EXAMPLES = Path(__file__).parents[2] / "docs" / "templates"


@pytest.mark.parametrize("path", sorted(EXAMPLES.iterdir()), ids=lambda path: path.name)
def test_the_examples_of_the_guide_can_be_used(
    path: Path, run: Callable[..., tuple[int, str, str]]
) -> None:
    code, output, _ = run("policy", "test", path)
    assert code == 0, output


def test_a_broken_file_keeps_its_name(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    for directory, text in ((first, "fieldz: {}"), (second, "")):
        directory.mkdir(mode=0o755)
        (directory / "t.yaml").write_text(f"{LEAST}{text}")
        (directory / "t.yaml").chmod(0o644)
    catalog = read_catalog([str(first), str(second)], [ME])
    assert catalog.templates == {}
    assert [problem.path for problem in catalog.problems] == [
        str(first / "t.yaml"),
        str(second / "t.yaml"),
    ]
    assert read_catalog([str(second)], [ME]).templates.keys() == {"t"}


def test_a_directory_with_the_name_of_a_file_stays_closed(tmp_path: Path) -> None:
    (tmp_path / "t.yaml").mkdir()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with pytest.raises(Broken, match="not a file"):
            read_file(tmp_path / "t.yaml")
    assert len(os.listdir("/proc/self/fd")) == before


def test_a_way_without_end_is_refused_and_spoils_no_other(tmp_path: Path) -> None:
    (tmp_path / "file").touch(mode=0o644)
    before: Path = tmp_path / "file"
    for number in range(300):
        link = tmp_path / f"link{number}"
        link.symlink_to(before)
        before = link
    guard = Guard.of_user()
    for path in (str(before), f"{tmp_path}{'/.' * 1500}/file", "/a" * 1500):
        assert "too many directories and links" in str(guard.who_could_change([path]))
    assert guard.who_could_change([str(tmp_path / "file"), str(tmp_path / "link9")]) is None
