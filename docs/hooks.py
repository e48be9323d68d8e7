"""Takes into the site what its pages link to outside docs/: reports, benchmarks and source files.

The pages name these by their paths in the repository, so that links work where the repository itself is read. Here each
file that is linked becomes part of the site, at its path in the repository: Markdown as a page, pictures as they are,
source files as pages that show their text, folders as lists of their files. What these pages link to follows.
"""

import re
from collections.abc import Iterator
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

_LINK = re.compile(r"(?<=\]\()[^)\s#:]+(?=[)#])")
"""The path of a Markdown link or picture, without the anchor; addresses with a scheme are none."""
_AS_IS = {".json", ".md", ".png", ".svg"}
_LANGUAGES = {".py": "python", ".sh": "sh", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml"}


class _Repository:
    """What the pages may link to."""

    def __init__(self, config: MkDocsConfig) -> None:
        self.docs = Path(config.docs_dir).resolve()
        self.root = Path(config.config_file_path).resolve().parent

    def address(self, target: Path) -> str | None:
        """Where in the site a file or folder is to be found; None where it is not of the repository."""
        if not target.exists() or not target.is_relative_to(self.root):
            return None
        if target.is_relative_to(self.docs):
            return target.relative_to(self.docs).as_posix()
        name = target.relative_to(self.root).as_posix()
        return name if target.suffix in _AS_IS else f"{name}.md"

    def linked(self, page: Path) -> Iterator[Path]:
        """What a page links to outside docs/."""
        for path in _LINK.findall(page.read_text(encoding="utf-8")):
            target = (page.parent / path).resolve()
            if self.address(target) and not target.is_relative_to(self.docs):
                yield target

    def shown(self, target: Path) -> str:
        """A page with the text of a source file, or with the names of the files in a folder."""
        title = f"---\nsearch:\n  exclude: true\n---\n\n# {target.relative_to(self.root).as_posix()}\n\n"
        if target.is_dir():
            names = sorted(
                path.relative_to(target).as_posix() for path in target.rglob("*") if path.is_file()
            )
            return title + "".join(f"* `{name}`\n" for name in names)
        text = target.read_text(encoding="utf-8")
        return f"{title}~~~~~~ {_LANGUAGES.get(target.suffix, 'text')}\n{text}\n~~~~~~\n"


def on_files(files: Files, /, *, config: MkDocsConfig) -> Files:
    """Add what is linked, directly or by what was added."""
    repository = _Repository(config)
    waiting = [repository.docs / file.src_uri for file in files.documentation_pages()]
    while waiting:
        for target in repository.linked(waiting.pop()):
            address = repository.address(target)
            if address is None or address in files.src_uris:
                continue
            if target.suffix in _AS_IS:
                # The repository's README is not the first page: that is docs/index.md.
                uri = "readme/index.html" if address == "README.md" else None
                file = File(
                    address, str(repository.root), config.site_dir, config.use_directory_urls, dest_uri=uri
                )
            else:
                file = File.generated(config, address, content=repository.shown(target))
            file.inclusion = InclusionLevel.NOT_IN_NAV
            files.append(file)
            if target.suffix == ".md":
                waiting.append(target)
    return files


def on_page_markdown(markdown: str, /, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Have links across the border of docs/ lead to where their targets are in the site."""
    repository, source = _Repository(config), page.file.abs_src_path
    if source is None:
        return markdown

    def moved(link: re.Match[str]) -> str:
        target = (Path(source).parent / link[0]).resolve()
        address = repository.address(target)
        inside = target.is_relative_to(repository.docs) and Path(source).is_relative_to(repository.docs)
        return link[0] if address is None or inside else f"/{address}"

    return _LINK.sub(moved, markdown)
