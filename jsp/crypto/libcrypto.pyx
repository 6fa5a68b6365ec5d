# cython: language_level=3, nonecheck=True
"""A provider on OpenSSL's libcrypto: a train is sealed by C alone, with a cipher context that lives as long as its key.

Only C can do this, so there is no Python source that does the same: where this module is not compiled, or no
libcrypto is found, the `cryptography` package seals (`aead`). The library is found when the program runs, and what is
used of it is declared here: a part of the interface that OpenSSL 3.0 to 4.x keep. Nobody is to be believed for his
name, so `provider` asks a library for known answers first.
"""

from cpython.bytearray cimport PyByteArray_AS_STRING
from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize
from libc.string cimport memcpy, memset

cimport jsp.wire.memory as memory
from jsp.crypto.aead cimport HeaderMasker, PacketAead, check_packet, check_train
from jsp.wire.buffer cimport PacketBuffer

import os

import cython

from jsp.crypto.suites import AES_256_GCM, CHACHA20_POLY1305, KEY_SIZE


cdef extern from "dlfcn.h" nogil:
    int RTLD_LOCAL
    int RTLD_NOW
    void *dlopen(const char *path, int mode)
    void *dlsym(void *handle, const char *name)
    char *dlerror()


ctypedef unsigned long (*version_f)() noexcept nogil
ctypedef void (*clear_error_f)() noexcept nogil
ctypedef void *(*fetch_f)(void *context, const char *algorithm, const char *properties) noexcept nogil
ctypedef void *(*new_f)() noexcept nogil
ctypedef void (*free_f)(void *) noexcept nogil
ctypedef int (*init_f)(
    void *, const void *cipher, const unsigned char *key, const unsigned char *iv, const void *params
) noexcept nogil
ctypedef int (*padding_f)(void *, int) noexcept nogil
ctypedef int (*update_f)(
    void *, unsigned char *out, int *out_size, const unsigned char *data, int size
) noexcept nogil
ctypedef int (*final_f)(void *, unsigned char *out, int *out_size) noexcept nogil
ctypedef int (*digest_init_f)(void *, const void *digest, const void *params) noexcept nogil
ctypedef int (*digest_update_f)(void *, const void *data, size_t size) noexcept nogil
ctypedef int (*digest_final_f)(void *, unsigned char *out, unsigned int *out_size) noexcept nogil
ctypedef int (*ctrl_f)(void *, int command, int size, void *data) noexcept nogil

# openssl/evp.h: EVP_CTRL_AEAD_GET_TAG and EVP_CTRL_AEAD_SET_TAG.
cdef int _GET_TAG = 0x10
cdef int _SET_TAG = 0x11
cdef int _TAG = 16
# RFC 2104 with SHA-256.
cdef size_t _BLOCK = 64
cdef size_t _HASH = 32


cdef void *_symbol(void *handle, bytes name) except NULL:
    cdef void *found = dlsym(handle, PyBytes_AS_STRING(name))
    if found is NULL:
        raise OSError(f"it has no {name.decode()}")
    return found


@cython.final
cdef class Library:
    """One libcrypto, loaded for the life of the process: its key contexts may be anywhere until the end.

    Attributes:
        name: "libcrypto" and its version.
        version: OPENSSL_VERSION_NUMBER, which is larger for newer ones.
    """

    cdef readonly str name
    cdef readonly unsigned long version
    cdef const void *_aes_256_gcm
    cdef const void *_chacha20_poly1305
    cdef const void *_aes_256_ecb
    cdef clear_error_f _clear_error
    cdef new_f _new
    cdef free_f _free
    cdef padding_f _set_padding
    cdef init_f _encrypt_init
    cdef update_f _encrypt_update
    cdef final_f _encrypt_final
    cdef init_f _decrypt_init
    cdef update_f _decrypt_update
    cdef final_f _decrypt_final
    cdef ctrl_f _ctrl
    cdef const void *_sha256
    cdef digest_init_f _digest_init
    cdef digest_update_f _digest_update
    cdef digest_final_f _digest_final
    cdef free_f _digest_free
    # Kept: making one costs as much as a digest.
    cdef void *_digest

    def __cinit__(self, path: str | None):
        """Load the library at `path`, or that of a module or program linked with one; None: of this program.

        OSError: it cannot be loaded, is older than 3.0, or lacks something.
        """
        cdef bytes name = b"" if path is None else os.fsencode(path)
        if b"\0" in name:
            raise OSError("no path has a zero byte")
        cdef void *handle = dlopen(NULL if path is None else PyBytes_AS_STRING(name), RTLD_NOW | RTLD_LOCAL)
        cdef char *error
        if handle is NULL:
            error = dlerror()
            raise OSError(error.decode("utf-8", "replace") if error is not NULL else "it cannot be loaded")
        self.version = (<version_f>_symbol(handle, b"OpenSSL_version_num"))()
        self.name = f"libcrypto {self.version >> 28}.{self.version >> 20 & 255}.{self.version >> 4 & 0xFFFF}"
        if not 3 <= self.version >> 28 <= 4:
            # Before, there was another interface; of later ones nothing is known.
            raise OSError(f"it is {self.name}, not 3.0 or 4.x")
        self._clear_error = <clear_error_f>_symbol(handle, b"ERR_clear_error")
        self._new = <new_f>_symbol(handle, b"EVP_CIPHER_CTX_new")
        self._free = <free_f>_symbol(handle, b"EVP_CIPHER_CTX_free")
        self._set_padding = <padding_f>_symbol(handle, b"EVP_CIPHER_CTX_set_padding")
        self._encrypt_init = <init_f>_symbol(handle, b"EVP_EncryptInit_ex2")
        self._encrypt_update = <update_f>_symbol(handle, b"EVP_EncryptUpdate")
        self._encrypt_final = <final_f>_symbol(handle, b"EVP_EncryptFinal_ex")
        self._decrypt_init = <init_f>_symbol(handle, b"EVP_DecryptInit_ex2")
        self._decrypt_update = <update_f>_symbol(handle, b"EVP_DecryptUpdate")
        self._decrypt_final = <final_f>_symbol(handle, b"EVP_DecryptFinal_ex")
        self._ctrl = <ctrl_f>_symbol(handle, b"EVP_CIPHER_CTX_ctrl")
        self._aes_256_gcm = self._fetch(handle, b"AES-256-GCM")
        self._chacha20_poly1305 = self._fetch(handle, b"ChaCha20-Poly1305")
        self._aes_256_ecb = self._fetch(handle, b"AES-256-ECB")
        self._digest_init = <digest_init_f>_symbol(handle, b"EVP_DigestInit_ex2")
        self._digest_update = <digest_update_f>_symbol(handle, b"EVP_DigestUpdate")
        self._digest_final = <digest_final_f>_symbol(handle, b"EVP_DigestFinal_ex")
        self._digest_free = <free_f>_symbol(handle, b"EVP_MD_CTX_free")
        self._sha256 = self._fetch(handle, b"SHA256", b"EVP_MD_fetch")
        self._digest = (<new_f>_symbol(handle, b"EVP_MD_CTX_new"))()
        if self._digest is NULL:
            raise MemoryError

    def __dealloc__(self):
        if self._digest is not NULL:
            self._digest_free(self._digest)

    cdef const void *_fetch(self, void *handle, bytes algorithm, bytes fetch=b"EVP_CIPHER_fetch") except NULL:
        cdef void *found = (<fetch_f>_symbol(handle, fetch))(NULL, PyBytes_AS_STRING(algorithm), NULL)
        if found is NULL:
            self._clear_error()
            raise OSError(f"it has no {algorithm.decode()}")
        return found

    def __repr__(self) -> str:
        return f"<Library {self.name}>"

    def aead(self, suite: int, key: bytes) -> PacketAead:
        """A `PacketAead` for `key`, 32 bytes."""
        return LibcryptoAead(self, suite, key)

    def masker(self, key: bytes) -> HeaderMasker:
        """A `HeaderMasker` for `key`, 32 bytes."""
        return LibcryptoMasker(self, key)

    def hmac(self, bytes key not None, bytes message not None) -> bytes:
        """HMAC-SHA256 (RFC 2104); the key has 64 bytes at most."""
        cdef unsigned char block[64]
        cdef unsigned char result[32]
        cdef size_t i
        cdef size_t size = len(key)
        if size > _BLOCK:
            raise ValueError("the key is longer than a block")
        memset(block, 0, _BLOCK)
        memcpy(block, PyBytes_AS_STRING(key), size)
        for i in range(_BLOCK):
            block[i] ^= 0x36
        self._hash(block, <const unsigned char *>PyBytes_AS_STRING(message), len(message), result)
        for i in range(_BLOCK):
            block[i] ^= 0x36 ^ 0x5C
        self._hash(block, result, _HASH, result)
        return PyBytes_FromStringAndSize(<char *>result, _HASH)

    cdef int _hash(
        self, const unsigned char *block, const unsigned char *data, size_t size, unsigned char *result
    ) except -1:
        """SHA-256 of a block and `data` into `result`, which may be `data`."""
        if (
            self._digest_init(self._digest, self._sha256, NULL) != 1
            or self._digest_update(self._digest, block, _BLOCK) != 1
            or (size and self._digest_update(self._digest, data, size) != 1)
            or self._digest_final(self._digest, result, NULL) != 1
        ):
            raise self._failed()
        return 0

    cdef void *_context(self, const void *cipher, bytes key, init_f init) except NULL:
        """A cipher context with its key; whoever asked for it frees it, which erases the key in it."""
        if len(key) != KEY_SIZE:
            raise ValueError("a key has 32 bytes")
        cdef void *context = self._new()
        if context is NULL:
            raise MemoryError
        if init(context, cipher, <const unsigned char *>PyBytes_AS_STRING(key), NULL, NULL) != 1:
            self._free(context)
            raise self._failed()
        return context

    cdef object _failed(self):
        # The queue of errors belongs to all of the program: what is left there, `ssl` would take for its own.
        self._clear_error()
        return RuntimeError(f"{self.name} failed")


cdef inline void _put_nonce(unsigned char *nonce, unsigned long long high, unsigned long long low) noexcept:
    cdef int i
    for i in range(3, -1, -1):
        nonce[i] = high & 255
        high >>= 8
    for i in range(11, 3, -1):
        nonce[i] = low & 255
        low >>= 8


@cython.final
cdef class LibcryptoAead(PacketAead):
    """One AEAD key, with a context for each direction it is used in."""

    cdef Library _library
    cdef free_f _free
    cdef const void *_cipher
    cdef bytes _key
    cdef void *_sealing
    cdef void *_opening

    def __cinit__(self, Library library not None, suite: int, bytes key not None):
        if len(key) != KEY_SIZE:
            raise ValueError("a key has 32 bytes")
        if suite not in (AES_256_GCM, CHACHA20_POLY1305):
            raise ValueError(f"no suite {suite}")
        self._library = library
        self._free = library._free
        self._cipher = library._aes_256_gcm if suite == AES_256_GCM else library._chacha20_poly1305
        self._key = key

    def __dealloc__(self):
        if self._sealing is not NULL:
            self._free(self._sealing)
        if self._opening is not NULL:
            self._free(self._opening)

    cpdef seal_train(
        self, PacketBuffer slots, long long count, long long segment, long long end, long long header_size,
        unsigned long long nonce_high, unsigned long long nonce_low, long long number
    ):
        cdef bytearray buffer = slots.data
        check_train(len(buffer), count, segment, end, header_size)
        cdef Library lib = self._library
        if self._sealing is NULL:
            self._sealing = lib._context(self._cipher, self._key, lib._encrypt_init)
        cdef void *context = self._sealing
        cdef unsigned char *packet = <unsigned char *>PyByteArray_AS_STRING(buffer)
        cdef unsigned char *text
        cdef unsigned char nonce[12]
        cdef long long left = end
        cdef int header = <int>header_size
        cdef int size, done
        for _ in range(count):
            if segment > left:
                segment = left
            text = packet + header
            size = <int>segment - header - _TAG
            _put_nonce(nonce, nonce_high, nonce_low ^ <unsigned long long>number)
            if (
                lib._encrypt_init(context, NULL, NULL, nonce, NULL) != 1
                or (header and lib._encrypt_update(context, NULL, &done, packet, header) != 1)
                or (size and lib._encrypt_update(context, text, &done, text, size) != 1)
                or lib._encrypt_final(context, text + size, &done) != 1
                or lib._ctrl(context, _GET_TAG, _TAG, text + size) != 1
            ):
                raise lib._failed()
            packet += segment
            left -= segment
            number += 1

    cpdef bint open_packet(
        self, PacketBuffer slots, long long start, long long body, long long end, unsigned long long nonce_high,
        unsigned long long nonce_low
    ) except? -1:
        cdef bytearray buffer = slots.data
        check_packet(len(buffer), start, body, end)
        cdef Library lib = self._library
        if self._opening is NULL:
            self._opening = lib._context(self._cipher, self._key, lib._decrypt_init)
        cdef void *context = self._opening
        cdef unsigned char *data = <unsigned char *>PyByteArray_AS_STRING(buffer)
        cdef unsigned char *text = data + body
        cdef unsigned char nonce[12]
        cdef int header = <int>(body - start)
        cdef int size = <int>(end - body)
        cdef int done
        _put_nonce(nonce, nonce_high, nonce_low)
        if (
            lib._decrypt_init(context, NULL, NULL, nonce, NULL) != 1
            or (header and lib._decrypt_update(context, NULL, &done, data + start, header) != 1)
            or (size and lib._decrypt_update(context, text, &done, text, size) != 1)
            or lib._ctrl(context, _SET_TAG, _TAG, text + size) != 1
        ):
            raise lib._failed()
        if lib._decrypt_final(context, text + size, &done) == 1:
            return True
        lib._clear_error()
        return False


@cython.final
cdef class LibcryptoMasker(HeaderMasker):
    """One header protection key."""

    cdef Library _library
    cdef free_f _free
    cdef void *_context

    def __cinit__(self, Library library not None, bytes key not None):
        self._library = library
        self._free = library._free
        self._context = library._context(library._aes_256_ecb, key, library._encrypt_init)
        if library._set_padding(self._context, 0) != 1:
            raise library._failed()

    def __dealloc__(self):
        if self._context is not NULL:
            self._free(self._context)

    cpdef bytearray masks(self, bytearray data, long long start, long long step, long long count):
        cdef bytearray masks = memory.gather(data, start, step, count)
        cdef unsigned char *at = <unsigned char *>PyByteArray_AS_STRING(masks)
        cdef Library lib = self._library
        cdef int done
        if count and lib._encrypt_update(self._context, at, &done, at, <int>(16 * count)) != 1:
            raise lib._failed()
        return masks
