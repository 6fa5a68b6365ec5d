"""Directories by descriptors: found from the root again whenever they are not kept, and never through a link."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from jsp.transfer.tree import Node, Tree, make_below, open_below, open_directory

pytestmark = pytest.mark.usefixtures("all_closed")

Below = Callable[[int, tuple[bytes, ...]], int]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The root of a tree, with something beside it that nothing may reach."""
    (tmp_path / "outside" / "deeper").mkdir(parents=True)
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


@pytest.fixture
def tree(root: Path) -> Iterator[Tree]:
    tree = Tree(open_directory(str(root)))
    yield tree
    tree.close()


def chain(count: int) -> list[Node]:
    """Directories each in the one before it; the first is the root."""
    nodes = [Node()]
    for i in range(count):
        nodes.append(Node(nodes[-1], b"%d" % i))
    return nodes


def is_same(fd: int, path: Path) -> bool:
    return os.path.samestat(os.fstat(fd), path.stat())


def open_files() -> int:
    return len(os.listdir("/proc/self/fd"))


# --- nodes -------------------------------------------------------------------------------------------------------


def test_paths_begin_below_the_root() -> None:
    root = Node()
    below = Node(Node(root, b"a"), b"b")
    assert (root.path(), root.path(b"x")) == (b"", b"x")
    assert (below.path(), below.path(b"x")) == (b"a/b", b"a/b/x")
    assert (root.depth, below.depth) == (0, 2)


def test_the_path_of_a_very_deep_directory() -> None:
    assert chain(3000)[-1].path(b"x").count(b"/") == 3000


# --- a tree ------------------------------------------------------------------------------------------------------


def test_a_directory_is_opened_with_those_above_it(root: Path, tree: Tree) -> None:
    (root / "0" / "1" / "2").mkdir(parents=True)
    nodes = chain(3)
    assert is_same(tree.directory(nodes[3]), root / "0" / "1" / "2")
    assert is_same(tree.directory(nodes[1]), root / "0")
    assert tree.directory(nodes[0]) == tree.root
    assert is_same(tree.root, root)


def test_a_directory_that_was_opened_is_kept(root: Path, tree: Tree) -> None:
    (root / "0").mkdir()
    node = Node(Node(), b"0")
    assert tree.directory(node) == tree.directory(node)


def test_what_is_used_again_and_again_stays_open(root: Path, tree: Tree) -> None:
    for i in range(20):
        (root / f"{i}").mkdir()
    often = Node(Node(), b"0")
    tree.directory(often)
    (root / "0").rename(root / "moved")
    for i in range(1, 20):
        tree.directory(Node(Node(), b"%d" % i))
        assert is_same(tree.directory(often), root / "moved"), "it would not be found again"


def test_few_descriptors_are_kept_however_deep_and_wide(root: Path, tree: Tree) -> None:
    nodes = chain(30)
    (root / "/".join(str(i) for i in range(30))).mkdir(parents=True)
    for i in range(30):
        (root / f"wide {i}").mkdir()
    before = open_files()
    tree.directory(nodes[-1])
    for i in range(30):
        assert is_same(tree.directory(Node(nodes[0], b"wide %d" % i)), root / f"wide {i}")
    assert open_files() - before <= 8


def test_what_is_no_longer_kept_is_found_again(root: Path, tree: Tree) -> None:
    nodes = chain(40)
    (root / "/".join(str(i) for i in range(40))).mkdir(parents=True)
    for count in (40, 1, 39, 20, 21, 0, 40, 9, 8):
        path = root.joinpath(*(str(i) for i in range(count)))
        assert is_same(tree.directory(nodes[count]), path)


@pytest.mark.parametrize("target", ["../outside", "{root}/real", "real", "."])
def test_links_are_not_followed_wherever_they_lead(root: Path, tree: Tree, target: str) -> None:
    (root / "real" / "deeper").mkdir(parents=True)
    (root / "link").symlink_to(target.format(root=root))
    link = Node(Node(), b"link")
    for node in (link, Node(link, b"deeper"), Node(link, b"..")):
        with pytest.raises(NotADirectoryError):
            tree.directory(node)


def test_a_link_in_the_middle_is_not_followed(root: Path, tree: Tree) -> None:
    (root / "0").mkdir()
    (root / "0" / "1").symlink_to("../../outside")
    with pytest.raises(NotADirectoryError):
        tree.directory(Node(chain(2)[2], b"deeper"))


def test_what_is_missing_or_no_directory(root: Path, tree: Tree) -> None:
    (root / "file").touch()
    os.mkfifo(root / "pipe")
    for name, error in ((b"missing", FileNotFoundError), (b"file", NotADirectoryError), (b"pipe", NotADirectoryError)):
        with pytest.raises(error):
            tree.directory(Node(Node(), name))
        with pytest.raises(error):
            tree.directory(Node(Node(Node(), name), b"below"))


def test_a_failure_half_way_spoils_nothing(root: Path, tree: Tree) -> None:
    nodes = chain(3)
    (root / "0").mkdir()
    with pytest.raises(FileNotFoundError):
        tree.directory(nodes[3])
    (root / "0" / "1" / "2").mkdir(parents=True)
    assert is_same(tree.directory(nodes[3]), root / "0" / "1" / "2")


def test_a_directory_moved_away_stays_open_and_what_took_its_name_is_not_entered(root: Path, tree: Tree) -> None:
    (root / "0" / "1").mkdir(parents=True)
    _, above, below = chain(2)
    tree.directory(above)
    (root / "0").rename(root / "moved")
    (root / "0").symlink_to("../outside")
    assert is_same(tree.directory(below), root / "moved" / "1")
    other = Tree(open_directory(str(root)))
    try:
        with pytest.raises(NotADirectoryError):
            other.directory(below)
    finally:
        other.close()


def test_a_closed_tree_opens_nothing_and_may_be_closed_again(root: Path) -> None:
    before = open_files()
    tree = Tree(open_directory(str(root)))
    (root / "0").mkdir()
    tree.directory(Node(Node(), b"0"))
    tree.close()
    tree.close()
    assert open_files() == before
    with pytest.raises(OSError, match="Bad file descriptor"):
        tree.directory(Node(Node(), b"0"))


# --- by names ----------------------------------------------------------------------------------------------------


def test_the_users_own_directory_may_be_a_link(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root)
    for path in (str(link), os.fsencode(link)):
        fd = open_directory(path)
        assert is_same(fd, root)
        assert not os.get_inheritable(fd)
        os.close(fd)
    with pytest.raises(FileNotFoundError):
        open_directory(str(root / "missing"))
    (root / "file").touch()
    with pytest.raises(NotADirectoryError):
        open_directory(str(root / "file"))


@pytest.mark.parametrize("function", [open_below, make_below])
def test_below_gives_a_descriptor_of_its_own(tree: Tree, root: Path, function: Below) -> None:
    (root / "a" / "b").mkdir(parents=True)
    for names, path in (((), root), ((b"a",), root / "a"), ((b"a", b"b"), root / "a" / "b")):
        fd = function(tree.root, names)
        assert fd != tree.root
        assert is_same(fd, path)
        assert not os.get_inheritable(fd)
        os.close(fd)
    assert is_same(tree.root, root)


@pytest.mark.parametrize("function", [open_below, make_below])
def test_below_refuses_links_at_every_step(tree: Tree, root: Path, function: Below) -> None:
    (root / "a").mkdir()
    (root / "a" / "link").symlink_to("../../outside")
    (root / "dangling").symlink_to("nowhere")
    for names in ((b"a", b"link"), (b"a", b"link", b"deeper"), (b"a", b"link", b"new"), (b"dangling",)):
        with pytest.raises(NotADirectoryError):
            function(tree.root, names)
    assert os.listdir(root.parent / "outside") == ["deeper"]
    assert not (root / "nowhere").exists()


@pytest.mark.parametrize("function", [open_below, make_below])
def test_below_refuses_files(tree: Tree, root: Path, function: Below) -> None:
    (root / "file").touch()
    for names in ((b"file",), (b"file", b"x")):
        with pytest.raises(NotADirectoryError):
            function(tree.root, names)


def test_open_below_makes_nothing(tree: Tree, root: Path) -> None:
    with pytest.raises(FileNotFoundError):
        open_below(tree.root, (b"a", b"b"))
    assert os.listdir(root) == []


def test_make_below_makes_what_is_missing_and_leaves_the_rest(tree: Tree, root: Path) -> None:
    (root / "a").mkdir(mode=0o700)
    os.utime(root, ns=(1, 1))
    before = os.umask(0o027)
    try:
        fd = make_below(tree.root, (b"a", b"b", b"c"))
    finally:
        os.umask(before)
    assert is_same(fd, root / "a" / "b" / "c")
    os.close(fd)
    modes = [path.stat().st_mode & 0o777 for path in (root / "a", root / "a" / "b", root / "a" / "b" / "c")]
    assert modes == [0o700, 0o750, 0o750]
    assert root.stat().st_mtime_ns == 1
