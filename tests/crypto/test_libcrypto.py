"""The provider on libcrypto: libraries that are none or wrong, misuse, and what it leaves behind."""

from __future__ import annotations

import ctypes
import gc
import logging
import os
import shutil
import subprocess
import sysconfig
from pathlib import Path

import pytest

from jsp.compiled import is_compiled
from jsp.crypto.aead import PacketAead
from jsp.crypto.provider import PORTABLE, choose, find_libcrypto, open_one, seal_one
from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305
from tests.crypto.providers import LIBCRYPTO

if not is_compiled():
    pytest.skip("the compiled module is needed", allow_module_level=True)
from jsp.crypto.libcrypto import Library

KEY = bytes(range(32))
COMPILER = (sysconfig.get_config_var("CC") or "cc").split()[0]
compiling = pytest.mark.skipif(shutil.which(COMPILER) is None, reason="no C compiler")


def loaded() -> Path | None:
    """The file of the libcrypto in use; None: it is part of the program."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        path = line.split()[-1]
        if os.path.basename(path).startswith("libcrypto.so"):
            return Path(path)
    return None


# Asked for before the tests load others.
REAL = loaded()
present = pytest.mark.skipif(LIBCRYPTO is None or REAL is None, reason="no libcrypto of its own file")


def library_of(folder: Path, source: str, *others: Path | None) -> str:
    """A shared library made of C `source`; what it has not is looked for in `others`."""
    (folder / "fake.c").write_text(source)
    made = folder / "fake.so"
    command = [COMPILER, "-shared", "-fPIC", "-Wl,--no-as-needed", "-o", made, folder / "fake.c", *others]
    subprocess.run(command, check=True, capture_output=True)
    return str(made)


# --- libraries -------------------------------------------------------------------------------------------------------


@present
def test_this_machine_has_one() -> None:
    library = Library(str(REAL))
    assert library.version >= 0x30000000
    assert library.name.startswith(("libcrypto 3.", "libcrypto 4."))
    assert repr(library) == f"<Library {library.name}>"


def test_what_is_no_libcrypto(tmp_path: Path) -> None:
    text = tmp_path / "libcrypto.so.3"
    text.write_text("not a library")
    for path in (str(tmp_path / "none.so"), str(text), str(tmp_path), "", "a\nb", "ä\udcff", "a\0b"):
        with pytest.raises(OSError, match=r".+"):
            Library(path)
    with pytest.raises(TypeError):
        Library(7)  # type: ignore[arg-type]


@compiling
def test_a_library_without_any_of_it(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="OpenSSL_version_num"):
        Library(library_of(tmp_path, "int nothing;"))


@compiling
@pytest.mark.parametrize("version", ["0x1010117fL", "0x20000000L", "0x50000000L", "0L"])
def test_another_version(tmp_path: Path, version: str) -> None:
    with pytest.raises(OSError, match=r"not 3\.0 or 4\.x"):
        Library(library_of(tmp_path, f"unsigned long OpenSSL_version_num(void) {{ return {version}; }}"))


NAMES = [
    "ERR_clear_error", "EVP_CIPHER_CTX_new", "EVP_CIPHER_CTX_free", "EVP_CIPHER_CTX_set_padding",
    "EVP_EncryptInit_ex2", "EVP_EncryptUpdate", "EVP_EncryptFinal_ex", "EVP_DecryptInit_ex2", "EVP_DecryptUpdate",
    "EVP_DecryptFinal_ex", "EVP_CIPHER_CTX_ctrl", "EVP_CIPHER_fetch",
]  # fmt: skip


@compiling
@pytest.mark.parametrize("missing", NAMES)
def test_a_library_that_lacks_one_function(tmp_path: Path, missing: str) -> None:
    source = "unsigned long OpenSSL_version_num(void) { return 0x30000000L; }\n"
    source += "".join(f"void *{name}(void) {{ return 0; }}\n" for name in NAMES if name != missing)
    with pytest.raises(OSError, match=f"no {missing}"):
        Library(library_of(tmp_path, source))


@compiling
def test_a_library_that_lacks_a_cipher(tmp_path: Path) -> None:
    source = "unsigned long OpenSSL_version_num(void) { return 0x30000000L; }\n"
    source += "".join(f"void *{name}(void) {{ return 0; }}\n" for name in NAMES)
    with pytest.raises(OSError, match="no AES-256-GCM"):
        Library(library_of(tmp_path, source))


# Each takes the place of one function of the real library behind it.
MISTAKES = {
    "encrypts nothing": "int EVP_EncryptUpdate(void *c, char *o, int *n, const char *i, int s) { *n = s; return 1; }",
    "fails to encrypt": "int EVP_EncryptUpdate(void *c, char *o, int *n, const char *i, int s) { return 0; }",
    "decrypts nothing": "int EVP_DecryptUpdate(void *c, char *o, int *n, const char *i, int s) { *n = s; return 1; }",
    "fails to decrypt": "int EVP_DecryptUpdate(void *c, char *o, int *n, const char *i, int s) { return 0; }",
    "opens everything": "int EVP_DecryptFinal_ex(void *c, char *o, int *n) { *n = 0; return 1; }",
    "opens nothing": "int EVP_DecryptFinal_ex(void *c, char *o, int *n) { return 0; }",
    "has no tags": "int EVP_CIPHER_CTX_ctrl(void *c, int t, int s, void *p) { return 1; }",
    "fails at tags": "int EVP_CIPHER_CTX_ctrl(void *c, int t, int s, void *p) { return 0; }",
    "has no memory": "void *EVP_CIPHER_CTX_new(void) { return 0; }",
    "fails to start": "int EVP_EncryptInit_ex2(void *c, void *a, char *k, char *i, void *p) { return 0; }",
    "starts nothing": "int EVP_EncryptInit_ex2(void *c, void *a, char *k, char *i, void *p) { return 1; }",
    "fails to pad": "int EVP_CIPHER_CTX_set_padding(void *c, int p) { return 0; }",
}


@present
@compiling
@pytest.mark.parametrize("mistake", MISTAKES)
def test_a_library_that_answers_wrongly_is_not_used(
    tmp_path: Path, mistake: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = library_of(tmp_path, MISTAKES[mistake], REAL)
    with caplog.at_level(logging.WARNING, "jsp"):
        assert find_libcrypto([path]) is None
        assert "known answers" in caplog.text
        assert choose(path) is PORTABLE
    # One that is right is used instead, though it be older.
    assert find_libcrypto([path, str(REAL)]) is not None


@present
@compiling
def test_the_newest_one_is_used(tmp_path: Path) -> None:
    newer = "unsigned long OpenSSL_version_num(void) { return 0x40000070L; }"
    path = library_of(tmp_path, newer, REAL)
    for paths in ([path, str(REAL)], [str(REAL), path]):
        found = find_libcrypto(paths)
        assert found is not None and found.name == "libcrypto 4.0.7"
    assert choose(path).name == "libcrypto 4.0.7"


# --- misuse ----------------------------------------------------------------------------------------------------------


@present
def test_what_is_no_key_or_suite() -> None:
    library = Library(str(REAL))
    for key in (b"", bytes(16), bytes(33)):
        with pytest.raises(ValueError, match="32"):
            library.aead(AES_256_GCM, key)
        with pytest.raises(ValueError, match="32"):
            library.masker(key)
    for suite in (0, 3, -1, 1 << 70):
        with pytest.raises(ValueError, match="suite"):
            library.aead(suite, KEY)
    for key in (None, bytearray(32), "k" * 32):
        with pytest.raises(TypeError):
            library.aead(AES_256_GCM, key)  # type: ignore[arg-type]
        with pytest.raises(TypeError):
            library.masker(key)  # type: ignore[arg-type]


@present
def test_none_in_the_place_of_a_buffer() -> None:
    library = Library(str(REAL))
    aead: PacketAead = library.aead(AES_256_GCM, KEY)
    with pytest.raises((TypeError, AttributeError)):
        aead.seal_train(None, 1, 30, 30, 7, 0, 0, 0)  # type: ignore[arg-type]
    with pytest.raises((TypeError, AttributeError)):
        aead.open_packet(None, 0, 7, 14, 0, 0)  # type: ignore[arg-type]
    with pytest.raises((TypeError, AttributeError)):
        library.masker(KEY).masks(None, 0, 16, 1)  # type: ignore[arg-type]
    for made in (aead, library.masker(KEY)):
        for arguments in ((), (None, AES_256_GCM, KEY), (None, KEY), (library,)):
            with pytest.raises(TypeError):
                type(made)(*arguments)
            with pytest.raises(TypeError):
                type(made).__new__(type(made), *arguments)
    with pytest.raises(TypeError):
        Library.__new__(Library)


# --- what stays ------------------------------------------------------------------------------------------------------


def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGESIZE")


@present
@pytest.mark.parametrize("suite", [AES_256_GCM, CHACHA20_POLY1305])
def test_contexts_do_not_leak(suite: int) -> None:
    library = Library(str(REAL))
    sample = bytearray(16)

    def use(count: int) -> None:
        for _ in range(count):
            aead = library.aead(suite, KEY)
            sealed = seal_one(aead, bytes(12), b"h", b"text")
            assert open_one(aead, bytes(12), b"h", sealed) == b"text"
            library.masker(KEY).masks(sample, 0, 16, 1)
            with pytest.raises(ValueError, match="32"):
                library.masker(b"")

    use(2000)
    gc.collect()
    before = resident()
    use(17_000)
    gc.collect()
    # A context has more than 500 bytes: 51,000 of them would be 25 MB.
    assert resident() - before < 4_000_000


@present
def test_refusals_leave_no_error_for_others_to_find() -> None:
    path = str(REAL)
    other = ctypes.CDLL(path)
    library = Library(path)
    for suite in (AES_256_GCM, CHACHA20_POLY1305):
        aead = library.aead(suite, KEY)
        sealed = seal_one(aead, bytes(12), b"h", b"text")
        assert open_one(aead, bytes(12), b"H", sealed) is None
        assert other.ERR_peek_error() == 0
