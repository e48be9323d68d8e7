"""All kinds of files that are fuzzed, by name."""

from benchmarks.fuzz.readers.base import Target
from benchmarks.fuzz.readers.data_files import Folders, NameLists, NpzFiles
from benchmarks.fuzz.readers.onnx_files import OnnxFiles

TARGETS: dict[str, Target] = {
    target.name: target for target in (OnnxFiles(), NpzFiles(), Folders(), NameLists())
}
