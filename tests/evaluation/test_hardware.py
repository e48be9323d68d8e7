from pathlib import Path

from evaluation.hardware import cpu_model, versions


def test_the_processor_is_named_as_the_system_names_it(tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text("processor\t: 0\nmodel name\t: A: processor\nprocessor\t: 1\nmodel name\t: Another\n")
    assert cpu_model(file) == "A: processor"


def test_where_the_system_says_nothing_the_architecture_stands_in(tmp_path: Path) -> None:
    assert cpu_model(tmp_path / "none")


def test_versions_are_those_of_what_is_measured() -> None:
    assert list(versions()) == ["python", "torch", "onnxruntime", "numpy"]
