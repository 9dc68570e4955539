/* The least that recording can cost: drain, seal, append.
 *
 * `floor CALLS FOLDER` binds two UDP sockets a call on 127.0.0.1, prints their ports as one JSON list, and until its
 * standard input ends drains them all every 100 ms with recvmmsg, collects each call's payload, seals 4 KiB segments
 * of it with AES-256-GCM and appends them to one file a call. Then it prints what it took. No order, no clock, no
 * hold-back, no container, no keys that anybody keeps, nothing made durable.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
    LEGS = 2,
    ROWS = 256,   /* datagrams of one socket in one drain */
    SLOT = 1600,  /* bytes; an Ethernet frame's worth */
    HEADER = 12,  /* RFC 3550 section 5.1, without contributing sources or extensions */
    SEGMENT = 4096,
    TAG = 16,
    PLAIN = SEGMENT - TAG,
    RECEIVE_BYTES = 1 << 20,
    TICK_NS = 100000000,
};

/* Of <openssl/evp.h>, which need not be installed: libcrypto is loaded by its name. */
typedef struct evp_cipher_ctx_st Context;
enum { SET_IV_LENGTH = 0x9, GET_TAG = 0x10 };
static Context *(*context_new)(void);
static const void *(*aes_256_gcm)(void);
static int (*encrypt_init)(Context *, const void *, void *, const unsigned char *, const unsigned char *);
static int (*encrypt_update)(Context *, unsigned char *, int *, const unsigned char *, int);
static int (*encrypt_final)(Context *, unsigned char *, int *);
static int (*control)(Context *, int, int, void *);

struct call {
    int socket[LEGS], file, filled;
    uint32_t segment;
    Context *cipher;
    unsigned char nonce[12], plain[PLAIN];
};

static struct call *calls;
static long count, packets, bytes, segments;
static struct mmsghdr headers[ROWS];
static struct iovec vectors[ROWS];
static unsigned char arena[ROWS][SLOT];

static void fail(const char *format, ...) {
    va_list values;
    va_start(values, format);
    vfprintf(stderr, format, values);
    fprintf(stderr, ": %s\n", strerror(errno));
    exit(2);
}

static void *symbol(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) { fprintf(stderr, "libcrypto has no %s\n", name); exit(2); }
    return found;
}

static void load_crypto(void) {
    const char *names[] = {"libcrypto.so.3", "libcrypto.so.1.1", "libcrypto.so"};
    void *library = NULL;
    for (size_t n = 0; !library && n < sizeof names / sizeof *names; n++) library = dlopen(names[n], RTLD_NOW);
    if (!library) { fprintf(stderr, "libcrypto is not installed\n"); exit(2); }
    *(void **)&context_new = symbol(library, "EVP_CIPHER_CTX_new");
    *(void **)&aes_256_gcm = symbol(library, "EVP_aes_256_gcm");
    *(void **)&encrypt_init = symbol(library, "EVP_EncryptInit_ex");
    *(void **)&encrypt_update = symbol(library, "EVP_EncryptUpdate");
    *(void **)&encrypt_final = symbol(library, "EVP_EncryptFinal_ex");
    *(void **)&control = symbol(library, "EVP_CIPHER_CTX_ctrl");
}

static int open_socket(uint16_t *port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    int wanted = RECEIVE_BYTES, opened = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);
    if (opened < 0) fail("a socket could not be opened");
    if (setsockopt(opened, SOL_SOCKET, SO_RCVBUFFORCE, &wanted, sizeof wanted))
        setsockopt(opened, SOL_SOCKET, SO_RCVBUF, &wanted, sizeof wanted);
    if (bind(opened, (struct sockaddr *)&address, sizeof address)) fail("a socket could not be bound");
    getsockname(opened, (struct sockaddr *)&address, &length);
    *port = ntohs(address.sin_port);
    return opened;
}

static void open_call(struct call *call, long number, const char *folder) {
    char path[4096];
    unsigned char key[32];
    snprintf(path, sizeof path, "%s/%ld.sealed", folder, number);
    call->file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_APPEND, 0600);
    if (call->file < 0) fail("%s", path);
    if (getrandom(key, sizeof key, 0) != sizeof key || getrandom(call->nonce, 7, 0) != 7) fail("no random bytes");
    call->cipher = context_new();
    encrypt_init(call->cipher, aes_256_gcm(), NULL, NULL, NULL);
    control(call->cipher, SET_IV_LENGTH, sizeof call->nonce, NULL);
    encrypt_init(call->cipher, NULL, NULL, key, NULL);
    for (int leg = 0; leg < LEGS; leg++) {
        uint16_t port;
        call->socket[leg] = open_socket(&port);
        printf("%s%u", number || leg ? "," : "[", port);
    }
}

static void seal(struct call *call, int last) {
    unsigned char sealed[SEGMENT];
    int length, rest;
    uint32_t order = htonl(call->segment++);
    memcpy(call->nonce + 7, &order, sizeof order);
    call->nonce[11] = last;
    encrypt_init(call->cipher, NULL, NULL, NULL, call->nonce);
    encrypt_update(call->cipher, sealed, &length, call->plain, call->filled);
    encrypt_final(call->cipher, sealed + length, &rest);
    control(call->cipher, GET_TAG, TAG, sealed + length + rest);
    length += rest + TAG;
    if (write(call->file, sealed, length) != length) fail("a segment could not be appended");
    bytes += length;
    segments++;
    call->filled = 0;
}

static void collect(struct call *call, const unsigned char *payload, int length) {
    while (length > 0) {
        int taken = length < PLAIN - call->filled ? length : PLAIN - call->filled;
        memcpy(call->plain + call->filled, payload, taken);
        call->filled += taken;
        payload += taken;
        length -= taken;
        if (call->filled == PLAIN) seal(call, 0);
    }
}

static void drain(struct call *call, int socket) {
    int found;
    do {
        found = recvmmsg(socket, headers, ROWS, MSG_DONTWAIT, NULL);
        for (int row = 0; row < found; row++)
            collect(call, arena[row] + HEADER, (int)headers[row].msg_len - HEADER);
        if (found > 0) packets += found;
    } while (found == ROWS);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Whether to go on: standard input is open still when the tick is due. */
static int wait_until(int64_t due) {
    struct pollfd input = {.fd = 0, .events = POLLIN};
    for (int64_t left; (left = due - now_ns()) > 0;) {
        struct timespec timeout = {.tv_sec = left / 1000000000, .tv_nsec = left % 1000000000};
        char ignored[64];
        if (ppoll(&input, 1, &timeout, NULL) > 0 && read(0, ignored, sizeof ignored) <= 0) return 0;
    }
    return 1;
}

int main(int argc, char **argv) {
    if (argc != 3 || (count = atol(argv[1])) < 1) { fprintf(stderr, "usage: floor CALLS FOLDER\n"); return 2; }
    struct rlimit limit;
    getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
    load_crypto();
    calls = calloc(count, sizeof *calls);
    if (!calls) fail("no memory for %ld calls", count);
    for (long number = 0; number < count; number++) open_call(&calls[number], number, argv[2]);
    printf("]\n");
    fflush(stdout);
    for (int row = 0; row < ROWS; row++) {
        vectors[row] = (struct iovec){arena[row], SLOT};
        headers[row].msg_hdr.msg_iov = &vectors[row];
        headers[row].msg_hdr.msg_iovlen = 1;
    }
    for (int64_t due = now_ns() + TICK_NS; wait_until(due); due += TICK_NS)
        for (struct call *call = calls; call < calls + count; call++)
            for (int leg = 0; leg < LEGS; leg++) drain(call, call->socket[leg]);
    for (struct call *call = calls; call < calls + count; call++) {
        for (int leg = 0; leg < LEGS; leg++) drain(call, call->socket[leg]);
        seal(call, 1);
    }
    printf("{\"packets\": %ld, \"bytes\": %ld, \"segments\": %ld}\n", packets, bytes, segments);
    return 0;
}
