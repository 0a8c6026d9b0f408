/* A GenTL producer for tests: cameras that are simulated, with a photo eye and faults on command.
 *
 * It follows the interface of the GenTL standard (EMVA, version 1.6), as far as a consumer of area cameras
 * uses it. Nothing of it is shipped. What there is lies in the folder of the library itself:
 *
 *   camera-SERIAL   a camera that is switched on. First line: its user-defined name; second line: options.
 *                   Without the file there is no camera; made anew it is one that was switched on again, and
 *                   whoever had opened it before has to open it again. Whoever locks it (flock) controls it.
 *   camera.xml      the description of all cameras
 *   interface.xml   the description of the interface; may be missing
 *   many            while it is there, the interface says that it has 10,000 cameras
 *   hang            the name of a function that does not return while the file says so
 *   eye-SERIAL      made here: a datagram socket that takes commands while the camera is open
 *
 * Options: fast=PPM (its clock), first=ID (of the first frame), fps=N (running free), ticks (time stamps in
 * ticks of 8 ns alone), unstamped, unnumbered, unlisted (chunks have to be found as GigE Vision lays them
 * out), stubborn (TriggerActivation stays as it is), tells (an event when it is lost), large=BYTES (payload
 * beyond what it says), shy (no exclusive access).
 *
 * Commands: `fire TAG` (the photo eye sees something, and the picture shows TAG), `later TAG` (30 ms after the
 * answer), `incomplete N`, `short N`,
 * `large N`, `old N`, `cut N` (faults of the next N frames), `skip N` (numbers), `stamps 0|1`, `revoke` (another
 * program takes control), `error` (an event), `say N=VALUE` (BUFFER_INFO N of all frames; none: it has no
 * answer; any: as it is), `again 0` (the frame before in another buffer, as it was), `again 1` (with another
 * number), `twice` (the buffer before, given a second time), `overwrite N` (the next N are written over while they are read),
 * `bare N` (no chunk is listed of the next N), `keep` (buffers are not given back any more), `hold TAG` (seen now, and given when the camera is started the next
 * time), `lag 1` (what the photo eye sees is given when it sees the next thing), `pass S` (its clock shows S
 * seconds more), `do WHAT` (ends or changes the whole process). Answers: `done`, or `deaf`: it waits for no signal at Line1.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

typedef int32_t GC_ERROR;
typedef uint8_t bool8_t;
typedef void *handle;

enum {
    OK = 0, ERR_ERROR = -1001, ERR_NOT_INITIALIZED = -1002, ERR_NOT_IMPLEMENTED = -1003,
    ERR_RESOURCE_IN_USE = -1004, ERR_ACCESS_DENIED = -1005, ERR_INVALID_HANDLE = -1006, ERR_INVALID_ID = -1007,
    ERR_NO_DATA = -1008, ERR_INVALID_PARAMETER = -1009, ERR_IO = -1010, ERR_TIMEOUT = -1011, ERR_ABORT = -1012,
    ERR_INVALID_BUFFER = -1013, ERR_NOT_AVAILABLE = -1014, ERR_INVALID_ADDRESS = -1015,
    ERR_BUFFER_TOO_SMALL = -1016, ERR_INVALID_INDEX = -1017, ERR_INVALID_VALUE = -1019
};
enum { T_STRING = 1, T_INT32 = 5, T_UINT32 = 6, T_UINT64 = 8, T_PTR = 10, T_BOOL8 = 11, T_SIZET = 12 };
enum { EVENT_ERROR = 0, EVENT_NEW_BUFFER = 1 };
enum { SYSTEM = 0x51, INTERFACE, DEVICE, REMOTE, STREAM, BUFFER, EVENT };
enum { MOST_CAMERAS = 4, MOST_BUFFERS = 64, MOST_INFO = 40, CHUNKS = 6 };

/* Registers of a camera, little-endian. */
enum {
    WIDTH = 0x00, HEIGHT = 0x04, PIXEL_FORMAT = 0x08, ACQUISITION_MODE = 0x0C, START = 0x10, STOP = 0x14,
    PARAMS_LOCKED = 0x18, PAYLOAD_SIZE = 0x1C, TRIGGER_SELECTOR = 0x20, EXPOSURE_AUTO = 0x24, GAIN_AUTO = 0x28,
    CHUNK_MODE = 0x30, CHUNK_SELECTOR = 0x34, TRIGGER_MODE = 0x40, TRIGGER_SOURCE = 0x50, TRIGGER_ACTIVATION = 0x60,
    LATCH = 0x78, LATCHED_NS = 0x100, TRIGGER_DELAY = 0x70, CHUNK_ENABLE = 0x80, EXPOSURE_TIME = 0xA0, GAIN = 0xA8, SERIAL = 0xC0, USER_ID = 0xE0,
    REGISTERS = 0x200, XML = 0x10000
};

struct head { int kind; };

struct buffer {
    struct head head;
    uint8_t *base;
    size_t size;
    void *user;
    int is_ours, is_queued, is_output, has_new_data;
    uint64_t frame_id, stamp_ns;
    size_t filled, intended, chunk_offset[CHUNKS + 1], chunk_length[CHUNKS + 1];
    uint64_t chunk_id[CHUNKS + 1];
    size_t chunks;
    uint32_t width, height, delivered, pixel_format;
    bool8_t is_incomplete, is_larger, has_chunks;
};

struct event { struct head head; struct device *device; int type, is_registered, is_killed, pending; };

struct device {
    struct head head;
    struct head remote;
    struct head stream;
    char serial[40], name[40], options[200], path[600];
    int fd, is_open, is_lost, is_revoked, is_stream_open, is_started, is_acquiring, is_stopping, socket;
    ino_t inode;
    pthread_t thread;
    uint8_t registers[REGISTERS];
    char *xml;
    size_t xml_size;
    struct buffer *buffers[MOST_BUFFERS];
    int buffer_count, queue[MOST_BUFFERS], queued, output[MOST_BUFFERS], ready;
    struct event error, filled;
    uint64_t frame_id, powered_ns, due_ns, later_ns, underrun, delivered;
    uint32_t later_tag, held_tag;
    uint64_t held_ns;
    int has_lag;
    int incomplete, shortened, larger, old, cut, unstamped, overwrite, is_keeping, bare;
    int64_t said[MOST_INFO];
    uint8_t is_said[MOST_INFO];
    struct buffer last;
    int last_index;
    uint8_t *last_bytes;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t told;
static struct head system_module = {SYSTEM}, interface_module = {INTERFACE};
static struct device devices[MOST_CAMERAS];
static int listed[MOST_CAMERAS], listed_count;
static int is_initialised, is_system_open, is_interface_open;
static char folder[400];
static char *interface_xml;
static size_t interface_xml_size;
static uint32_t interface_selector;
static _Thread_local GC_ERROR last_error;
static _Thread_local char last_text[200];

static GC_ERROR fail(GC_ERROR code, const char *text) {
    last_error = code;
    snprintf(last_text, sizeof last_text, "%s", text);
    return code;
}

/* Does not return while the file `hang` names this function. */
static void maybe_hang(const char *function) {
    char path[500], said[100];
    snprintf(path, sizeof path, "%s/hang", folder);
    for (;;) {
        int file = open(path, O_RDONLY);
        if (file < 0) return;
        ssize_t got = read(file, said, sizeof said - 1);
        close(file);
        said[got > 0 ? got : 0] = 0;
        said[strcspn(said, "\n")] = 0;
        if (strcmp(said, function)) return;
        usleep(20000);
    }
}

#define ENTER() maybe_hang(__func__)
#define NEED(condition, code, text) do { if (!(condition)) return fail(code, text); } while (0)

static uint64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + now.tv_nsec;
}

static GC_ERROR give(int type, const void *value, size_t size, int32_t *kind, void *out, size_t *out_size) {
    if (kind) *kind = type;
    NEED(out_size, ERR_INVALID_PARAMETER, "no place for the size");
    if (!out) { *out_size = size; return OK; }
    NEED(*out_size >= size, ERR_BUFFER_TOO_SMALL, "the buffer is too small");
    memcpy(out, value, size);
    *out_size = size;
    return OK;
}

static GC_ERROR give_text(const char *text, int32_t *kind, void *out, size_t *size) {
    return give(T_STRING, text, strlen(text) + 1, kind, out, size);
}

#define GIVE(type, ctype, value) do { ctype v_ = (ctype)(value); return give(type, &v_, sizeof v_, kind, out, size); } while (0)

static char *whole_file(const char *name, size_t *size) {
    char path[500];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file) return NULL;
    fseek(file, 0, SEEK_END);
    *size = ftell(file);
    rewind(file);
    char *text = malloc(*size + 1);
    *size = fread(text, 1, *size, file);
    text[*size] = 0;
    fclose(file);
    return text;
}

/* ---- cameras ---- */

static int is_kind(handle thing, int kind) { return thing && ((struct head *)thing)->kind == kind; }

static struct device *of_remote(handle port) {
    return is_kind(port, REMOTE) ? (struct device *)((char *)port - offsetof(struct device, remote)) : NULL;
}

static struct device *of_stream(handle stream) {
    return is_kind(stream, STREAM) ? (struct device *)((char *)stream - offsetof(struct device, stream)) : NULL;
}

static const char *option(struct device *device, const char *name) {
    const char *found = strstr(device->options, name);
    return found ? found + strlen(name) : NULL;
}

static long number(struct device *device, const char *name, long otherwise) {
    const char *found = option(device, name);
    return found ? strtol(found, NULL, 10) : otherwise;
}

/* Whether the camera is the one that was opened, and was not switched off since. */
static int is_there(struct device *device) {
    struct stat now;
    return !stat(device->path, &now) && (!device->is_open || now.st_ino == device->inode);
}

static void read_camera(struct device *device) {
    size_t size;
    char name[60];
    snprintf(name, sizeof name, "camera-%s", device->serial);
    char *text = whole_file(name, &size);
    device->name[0] = device->options[0] = 0;
    if (!text) return;
    char *second = strchr(text, '\n');
    if (second) *second++ = 0;
    snprintf(device->name, sizeof device->name, "%s", text);
    if (second) snprintf(device->options, sizeof device->options, " %s", second);
    device->options[strcspn(device->options, "\n")] = 0;
    free(text);
}

static uint32_t reg(struct device *device, int address) {
    uint32_t value;
    memcpy(&value, device->registers + address, 4);
    return value;
}

static void set_reg(struct device *device, int address, uint32_t value) {
    memcpy(device->registers + address, &value, 4);
}

static double real(struct device *device, int address) {
    double value;
    memcpy(&value, device->registers + address, 8);
    return value;
}

static void set_real(struct device *device, int address, double value) {
    memcpy(device->registers + address, &value, 8);
}

static size_t image_bytes(struct device *device) {
    size_t wide = reg(device, PIXEL_FORMAT) == 0x01100005 ? 2 : 1;
    return wide * reg(device, WIDTH) * reg(device, HEIGHT);
}

static size_t payload_bytes(struct device *device) {
    return image_bytes(device) + (reg(device, CHUNK_MODE) ? 8 + CHUNKS * 16 : 0);
}

static void power_up(struct device *device) {
    memset(device->registers, 0, REGISTERS);
    set_reg(device, WIDTH, 256);
    set_reg(device, HEIGHT, 192);
    set_reg(device, PIXEL_FORMAT, 0x01080001);
    set_reg(device, ACQUISITION_MODE, 1);
    set_reg(device, EXPOSURE_AUTO, 1);
    set_reg(device, TRIGGER_MODE + 4, 1); /* of AcquisitionStart: somebody left it switched on */
    set_real(device, EXPOSURE_TIME, 10000);
    memcpy(device->registers + SERIAL, device->serial, strnlen(device->serial, 31));
    memcpy(device->registers + USER_ID, device->name, strnlen(device->name, 31));
}

/* What a pixel of the picture of `tag` shows. A test computes the same. */
static uint8_t level(uint32_t pixel, uint32_t tag) {
    uint32_t mixed = pixel * 2654435761u ^ tag * 0x9E3779B1u;
    mixed ^= mixed >> 15;
    mixed *= 0x85EBCA6Bu;
    mixed ^= mixed >> 13;
    return 40 + (mixed & 0x7F);
}

static void put_big(uint8_t *to, uint32_t value) {
    for (int byte = 0; byte < 4; byte++) to[byte] = value >> (24 - 8 * byte);
}

/* A chunk and its tail, as GigE Vision lays them out. */
static size_t close_chunk(struct buffer *buffer, size_t at, uint32_t id, size_t length) {
    buffer->chunk_id[buffer->chunks] = id;
    buffer->chunk_offset[buffer->chunks] = at;
    buffer->chunk_length[buffer->chunks++] = length;
    put_big(buffer->base + at + length, id);
    put_big(buffer->base + at + length + 4, length);
    return at + length + 8;
}

/* What its clock shows at a moment. */
static uint64_t clock_ns(struct device *device, uint64_t at_ns) {
    uint64_t since_ns = at_ns - device->powered_ns;
    return 5000000000000u + since_ns + since_ns / 1000 * number(device, " fast=", 0) / 1000;
}

static void expose_at(struct device *device, uint32_t tag, uint64_t at_ns) {
    uint64_t frame_id = device->frame_id++;
    if (!device->queued) { device->underrun++; return; }
    int index = device->queue[0];
    struct buffer *buffer = device->buffers[index];
    if (payload_bytes(device) > buffer->size) return;
    memmove(device->queue, device->queue + 1, --device->queued * sizeof(int));
    uint64_t stamp_ns = clock_ns(device, at_ns);
    size_t pixels = (size_t)reg(device, WIDTH) * reg(device, HEIGHT), image = image_bytes(device);
    buffer->is_queued = 0;
    buffer->is_output = buffer->has_new_data = 1;
    buffer->frame_id = frame_id;
    buffer->stamp_ns = device->unstamped || option(device, " unstamped") ? 0 : stamp_ns;
    buffer->width = reg(device, WIDTH);
    buffer->height = buffer->delivered = reg(device, HEIGHT);
    buffer->pixel_format = reg(device, PIXEL_FORMAT);
    buffer->is_incomplete = buffer->is_larger = 0;
    buffer->chunks = 0;
    buffer->has_chunks = reg(device, CHUNK_MODE) != 0;
    size_t came = device->incomplete || device->shortened ? pixels / 2 : pixels;
    for (uint32_t pixel = 0; pixel < came; pixel++) {
        if (image == pixels) {
            buffer->base[pixel] = level(pixel, tag);
        } else {
            buffer->base[2 * pixel] = level(pixel, tag) << 4;
            buffer->base[2 * pixel + 1] = level(pixel, tag) >> 4;
        }
    }
    size_t end = image;
    if (buffer->has_chunks) {
        int64_t encoder = -1000 * (int64_t)tag, counter = tag;
        double exposure_us = real(device, EXPOSURE_TIME), gain_db = real(device, GAIN);
        const void *values[CHUNKS] = {&stamp_ns, &exposure_us, &frame_id, &encoder, &counter, &gain_db};
        end = close_chunk(buffer, 0, 0x1000, image);
        for (int chunk = 0; chunk < CHUNKS; chunk++)
            if (reg(device, CHUNK_ENABLE + 4 * chunk)) {
                memcpy(buffer->base + end, values[chunk], 8);
                end = close_chunk(buffer, end, 0x1001 + chunk, 8);
            }
    }
    if (device->bare && device->bare--) buffer->chunks = 0;
    buffer->intended = buffer->filled = end;
    if (device->incomplete && device->incomplete--) { buffer->is_incomplete = 1; buffer->filled = end / 2; }
    if (device->shortened && device->shortened--) buffer->filled = end / 2;
    if (device->larger && device->larger--) buffer->is_larger = 1;
    if (device->old && device->old--) buffer->has_new_data = 0;
    if (device->cut && device->cut--) buffer->delivered /= 2;
    device->last = *buffer;
    device->last_index = index;
    device->last_bytes = realloc(device->last_bytes, buffer->size);
    memcpy(device->last_bytes, buffer->base, buffer->size);
    device->output[device->ready++] = index;
    device->delivered++;
    device->filled.pending++;
    pthread_cond_broadcast(&told);
}

static void expose(struct device *device, uint32_t tag) { expose_at(device, tag, now_ns()); }

/* Gives a frame that it gave before: in another buffer, or the same buffer a second time. */
static void repeat(struct device *device, int is_in_another, int is_renumbered) {
    int index = device->last_index;
    if (is_in_another) {
        index = device->queue[0];
        memmove(device->queue, device->queue + 1, --device->queued * sizeof(int));
    }
    struct buffer *buffer = device->buffers[index], held = *buffer;
    *buffer = device->last;
    buffer->base = held.base;
    memcpy(buffer->base, device->last_bytes, buffer->size);
    if (is_renumbered) buffer->frame_id = device->frame_id++;
    if (!is_in_another) buffer->is_queued = held.is_queued;
    device->output[device->ready++] = index;
    device->filled.pending++;
    pthread_cond_broadcast(&told);
}

static void end_or_change(const char *what) {
    if (!strcmp(what, "segv")) raise(SIGSEGV);
    if (!strcmp(what, "abort")) abort();
    if (!strcmp(what, "exit")) _exit(0);
    if (!strcmp(what, "close")) for (int file = 3; file < 100; file++) close(file);
    if (!strcmp(what, "signals")) for (int number = 1; number < 32; number++) signal(number, SIG_IGN);
    if (!strcmp(what, "print")) {
        char line[200];
        memset(line, 'x', sizeof line - 1);
        line[sizeof line - 1] = 0;
        for (int count = 0; count < 20000; count++) fprintf(stderr, "%s\n", line);
    }
    if (!strcmp(what, "move") && chdir("/")) abort();
}

static const char *command(struct device *device, char *said) {
    if (!strncmp(said, "do ", 3)) { end_or_change(said + 3); return "done"; }
    if (!strncmp(said, "say ", 4)) {
        long which = strtol(said + 4, NULL, 10);
        const char *value = strchr(said, '=') + 1;
        device->is_said[which] = !strcmp(value, "any") ? 0 : !strcmp(value, "none") ? 2 : 1;
        device->said[which] = strtoll(value, NULL, 10);
        return "done";
    }
    long value = strchr(said, ' ') ? strtol(strchr(said, ' ') + 1, NULL, 10) : 1;
    int *faults[] = {&device->incomplete, &device->shortened, &device->larger, &device->old, &device->cut};
    const char *names[] = {"incomplete", "short", "large", "old", "cut"};
    said[strcspn(said, " ")] = 0;
    for (size_t fault = 0; fault < 5; fault++)
        if (!strcmp(said, names[fault])) { *faults[fault] = value; return "done"; }
    if (!strcmp(said, "again")) { repeat(device, 1, value); return "done"; }
    if (!strcmp(said, "twice")) { repeat(device, 0, 0); return "done"; }
    if (!strcmp(said, "overwrite")) { device->overwrite = value; return "done"; }
    if (!strcmp(said, "bare")) { device->bare = value; return "done"; }
    if (!strcmp(said, "keep")) { device->is_keeping = 1; return "done"; }
    if (!strcmp(said, "skip")) { device->frame_id += value; return "done"; }
    if (!strcmp(said, "stamps")) { device->unstamped = !value; return "done"; }
    if (!strcmp(said, "revoke")) { device->is_revoked = 1; return "done"; }
    if (!strcmp(said, "error")) { device->error.pending++; return "done"; }
    if (!strcmp(said, "hold")) { device->held_tag = value; device->held_ns = now_ns(); return "done"; }
    if (!strcmp(said, "pass")) { device->powered_ns -= (uint64_t)value * 1000000000u; return "done"; }
    if (!strcmp(said, "lag")) { device->has_lag = value; return "done"; }
    if (!strcmp(said, "later")) { device->later_ns = now_ns() + 30000000u; device->later_tag = value; return "done"; }
    if (strcmp(said, "fire")) return "what?";
    if (device->is_lost || device->is_revoked || !device->is_acquiring || !device->is_started ||
        !reg(device, TRIGGER_MODE) || reg(device, TRIGGER_SOURCE))
        return "deaf";
    if (device->has_lag) {
        if (device->held_ns) expose_at(device, device->held_tag, device->held_ns);
        device->held_tag = value;
        device->held_ns = now_ns();
        return "done";
    }
    expose(device, value);
    return "done";
}

static void *live(void *argument) {
    struct device *device = argument;
    while (!device->is_stopping) {
        struct pollfd eye = {device->socket, POLLIN, 0};
        poll(&eye, 1, 5);
        pthread_mutex_lock(&lock);
        if (!device->is_lost && !is_there(device)) {
            device->is_lost = 1;
            if (option(device, " tells")) { device->error.pending++; pthread_cond_broadcast(&told); }
        }
        if (eye.revents & POLLIN) {
            char said[100];
            struct sockaddr_un asker;
            socklen_t length = sizeof asker;
            ssize_t got = recvfrom(device->socket, said, sizeof said - 1, 0, (struct sockaddr *)&asker, &length);
            if (got > 0) {
                said[got] = 0;
                const char *answer = command(device, said);
                sendto(device->socket, answer, strlen(answer), 0, (struct sockaddr *)&asker, length);
            }
        }
        if (device->later_ns && now_ns() >= device->later_ns) {
            device->later_ns = 0;
            if (device->held_ns) expose_at(device, device->held_tag, device->held_ns);
            else expose(device, device->later_tag);
            device->held_ns = 0;
        }
        if (device->is_acquiring && device->is_started && !device->is_lost && !device->is_revoked &&
            !reg(device, TRIGGER_MODE) && now_ns() >= device->due_ns) {
            expose(device, device->frame_id);
            device->due_ns += 1000000000u / number(device, " fps=", 40);
            if (device->due_ns < now_ns()) device->due_ns = now_ns();
        }
        pthread_mutex_unlock(&lock);
    }
    return NULL;
}

/* ---- library ---- */

GC_ERROR GCInitLib(void) {
    Dl_info here;
    NEED(!is_initialised, ERR_RESOURCE_IN_USE, "initialised already");
    NEED(dladdr((void *)GCInitLib, &here), ERR_ERROR, "does not know where it lies");
    snprintf(folder, sizeof folder, "%s", here.dli_fname);
    *strrchr(folder, '/') = 0;
    ENTER();
    pthread_condattr_t monotonic;
    pthread_condattr_init(&monotonic);
    pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    pthread_cond_init(&told, &monotonic);
    is_initialised = 1;
    return OK;
}

GC_ERROR GCCloseLib(void) {
    ENTER();
    NEED(is_initialised, ERR_NOT_INITIALIZED, "not initialised");
    is_initialised = is_system_open = is_interface_open = 0;
    return OK;
}

GC_ERROR GCGetLastError(GC_ERROR *code, char *text, size_t *size) {
    *code = last_error;
    int32_t kind;
    return give_text(last_text, &kind, text, size);
}

static GC_ERROR about_producer(int32_t command, int32_t *kind, void *out, size_t *size) {
    switch (command) {
    case 0: return give_text("inspectd.test", kind, out, size);
    case 1: return give_text("inspectd", kind, out, size);
    case 2: return give_text("test producer", kind, out, size);
    case 3: return give_text("1.0", kind, out, size);
    case 4: return give_text("Custom", kind, out, size);
    case 5: return give_text("producer.cti", kind, out, size);
    case 6: return give_text(folder, kind, out, size);
    case 7: return give_text("Test producer", kind, out, size);
    case 8: GIVE(T_INT32, int32_t, 0);
    case 9: GIVE(T_UINT32, uint32_t, 1);
    case 10: GIVE(T_UINT32, uint32_t, 6);
    default: return fail(ERR_NOT_IMPLEMENTED, "no such information");
    }
}

GC_ERROR GCGetInfo(int32_t command, int32_t *kind, void *out, size_t *size) { return about_producer(command, kind, out, size); }

GC_ERROR TLOpen(handle *module) {
    ENTER();
    NEED(is_initialised, ERR_NOT_INITIALIZED, "not initialised");
    NEED(!is_system_open, ERR_RESOURCE_IN_USE, "open already");
    is_system_open = 1;
    *module = &system_module;
    return OK;
}

GC_ERROR TLClose(handle module) {
    ENTER();
    NEED(is_kind(module, SYSTEM), ERR_INVALID_HANDLE, "no system");
    is_system_open = 0;
    return OK;
}

GC_ERROR TLGetInfo(handle module, int32_t command, int32_t *kind, void *out, size_t *size) { return about_producer(command, kind, out, size); }

GC_ERROR TLUpdateInterfaceList(handle module, bool8_t *changed, uint64_t timeout) {
    ENTER();
    NEED(is_kind(module, SYSTEM) && is_system_open, ERR_INVALID_HANDLE, "no open system");
    if (changed) *changed = 0;
    return OK;
}

GC_ERROR TLGetNumInterfaces(handle module, uint32_t *count) { *count = 1; return OK; }

GC_ERROR TLGetInterfaceID(handle module, uint32_t index, char *id, size_t *size) {
    int32_t kind;
    NEED(index == 0, ERR_INVALID_INDEX, "there is one interface");
    return give_text("sim0", &kind, id, size);
}

static GC_ERROR about_interface(int32_t command, int32_t *kind, void *out, size_t *size) {
    if (command == 0) return give_text("sim0", kind, out, size);
    if (command == 1) return give_text("Simulated interface", kind, out, size);
    if (command == 2) return give_text("Custom", kind, out, size);
    return fail(ERR_NOT_IMPLEMENTED, "no such information");
}

GC_ERROR TLGetInterfaceInfo(handle module, const char *id, int32_t command, int32_t *kind, void *out, size_t *size) { return about_interface(command, kind, out, size); }

GC_ERROR TLOpenInterface(handle module, const char *id, handle *opened) {
    ENTER();
    NEED(!strcmp(id, "sim0"), ERR_INVALID_ID, "there is no such interface");
    NEED(!is_interface_open, ERR_RESOURCE_IN_USE, "open already");
    is_interface_open = 1;
    free(interface_xml);
    interface_xml = whole_file("interface.xml", &interface_xml_size);
    *opened = &interface_module;
    return OK;
}

GC_ERROR IFClose(handle module) {
    ENTER();
    NEED(is_kind(module, INTERFACE) && is_interface_open, ERR_INVALID_HANDLE, "no open interface");
    is_interface_open = 0;
    return OK;
}

GC_ERROR IFGetInfo(handle module, int32_t command, int32_t *kind, void *out, size_t *size) { return about_interface(command, kind, out, size); }
GC_ERROR IFGetParentTL(handle module, handle *parent) { *parent = &system_module; return OK; }

static struct device *known(const char *serial) {
    for (int index = 0; index < MOST_CAMERAS; index++) {
        struct device *device = &devices[index];
        if (device->serial[0] && strcmp(device->serial, serial)) continue;
        if (!device->serial[0]) {
            device->head.kind = DEVICE;
            device->remote.kind = REMOTE;
            device->stream.kind = STREAM;
            device->error = (struct event){.head = {EVENT}, .device = device, .type = EVENT_ERROR};
            device->filled = (struct event){.head = {EVENT}, .device = device, .type = EVENT_NEW_BUFFER};
            snprintf(device->serial, sizeof device->serial, "%s", serial);
            snprintf(device->path, sizeof device->path, "%s/camera-%s", folder, serial);
        }
        return device;
    }
    return NULL;
}

GC_ERROR IFUpdateDeviceList(handle module, bool8_t *changed, uint64_t timeout) {
    ENTER();
    NEED(is_kind(module, INTERFACE) && is_interface_open, ERR_INVALID_HANDLE, "no open interface");
    DIR *all = opendir(folder);
    pthread_mutex_lock(&lock);
    listed_count = 0;
    for (struct dirent *entry; all && (entry = readdir(all));) {
        struct device *device = strncmp(entry->d_name, "camera-", 7) ? NULL : known(entry->d_name + 7);
        if (!device || listed_count == MOST_CAMERAS) continue;
        if (!device->is_open) read_camera(device);
        listed[listed_count++] = device - devices;
    }
    pthread_mutex_unlock(&lock);
    if (all) closedir(all);
    if (changed) *changed = 1;
    return OK;
}

GC_ERROR IFGetNumDevices(handle module, uint32_t *count) {
    char path[500];
    snprintf(path, sizeof path, "%s/many", folder);
    *count = access(path, F_OK) ? listed_count : 10000;
    return OK;
}

static void id_of(struct device *device, char *id) { sprintf(id, "SIM::%s", device->serial); }

GC_ERROR IFGetDeviceID(handle module, uint32_t index, char *id, size_t *size) {
    char own[60];
    int32_t kind;
    NEED(index < (uint32_t)listed_count, ERR_INVALID_INDEX, "there is no such camera");
    id_of(&devices[listed[index]], own);
    return give_text(own, &kind, id, size);
}

static int32_t access_of(struct device *device) {
    if (device->is_open) return device->is_revoked || device->is_lost ? 3 : 5;
    int file = open(device->path, O_RDONLY | O_CLOEXEC);
    if (file < 0) return 3;
    int is_held = flock(file, LOCK_EX | LOCK_NB);
    close(file);
    return is_held ? 4 : 1;
}

static GC_ERROR about_device(struct device *device, int32_t command, int32_t *kind, void *out, size_t *size) {
    char text[120];
    switch (command) {
    case 0: id_of(device, text); return give_text(text, kind, out, size);
    case 1: return give_text("inspectd", kind, out, size);
    case 2: return give_text("Simulated", kind, out, size);
    case 3: return give_text(option(device, " unlisted") ? "GEV" : "Custom", kind, out, size);
    case 4: sprintf(text, "Simulated %s", device->serial); return give_text(text, kind, out, size);
    case 5: GIVE(T_INT32, int32_t, access_of(device));
    case 6: return give_text(device->name, kind, out, size);
    case 7: return give_text(device->serial, kind, out, size);
    case 8: return give_text("1.0", kind, out, size);
    case 9: GIVE(T_UINT64, uint64_t, 125000000);
    default: return fail(ERR_NOT_IMPLEMENTED, "no such information");
    }
}

static struct device *listed_device(const char *id) {
    char own[60];
    for (int index = 0; index < listed_count; index++) {
        id_of(&devices[listed[index]], own);
        if (!strcmp(own, id)) return &devices[listed[index]];
    }
    return NULL;
}

GC_ERROR IFGetDeviceInfo(handle module, const char *id, int32_t command, int32_t *kind, void *out, size_t *size) {
    struct device *device = listed_device(id);
    NEED(device, ERR_INVALID_ID, "there is no such camera");
    return about_device(device, command, kind, out, size);
}

GC_ERROR IFOpenDevice(handle module, const char *id, int32_t access, handle *opened) {
    ENTER();
    struct device *device = listed_device(id);
    NEED(device && is_there(device), ERR_INVALID_ID, "there is no such camera");
    NEED(!device->is_open, ERR_RESOURCE_IN_USE, "open already");
    read_camera(device);
    NEED(!(access == 4 && option(device, " shy")), ERR_INVALID_PARAMETER, "there is no exclusive access");
    device->fd = open(device->path, O_RDONLY | O_CLOEXEC);
    if (device->fd < 0 || flock(device->fd, LOCK_EX | LOCK_NB)) {
        if (device->fd >= 0) close(device->fd);
        return fail(ERR_ACCESS_DENIED, "another program has opened it");
    }
    struct stat now;
    fstat(device->fd, &now);
    if (!device->powered_ns || device->inode != now.st_ino) device->powered_ns = now_ns();
    device->inode = now.st_ino;
    device->is_lost = device->is_revoked = device->is_stopping = device->is_started = device->is_acquiring = 0;
    device->incomplete = device->shortened = device->larger = device->old = device->cut = device->unstamped = 0;
    device->error.pending = device->underrun = device->delivered = device->later_ns = 0;
    power_up(device);
    free(device->xml);
    device->xml = whole_file("camera.xml", &device->xml_size);
    struct sockaddr_un place = {.sun_family = AF_UNIX};
    snprintf(place.sun_path, sizeof place.sun_path, "%s/eye-%s", folder, device->serial);
    unlink(place.sun_path);
    device->socket = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bind(device->socket, (struct sockaddr *)&place, sizeof place);
    device->is_open = 1;
    pthread_create(&device->thread, NULL, live, device);
    *opened = &device->head;
    return OK;
}

GC_ERROR DevClose(handle module) {
    ENTER();
    struct device *device = module;
    NEED(is_kind(module, DEVICE) && device->is_open, ERR_INVALID_HANDLE, "no open camera");
    device->is_stopping = 1;
    pthread_join(device->thread, NULL);
    close(device->socket);
    close(device->fd);
    device->is_open = 0;
    return OK;
}

GC_ERROR DevGetInfo(handle module, int32_t command, int32_t *kind, void *out, size_t *size) {
    ENTER();
    NEED(is_kind(module, DEVICE), ERR_INVALID_HANDLE, "no camera");
    return about_device(module, command, kind, out, size);
}

GC_ERROR DevGetParentIF(handle module, handle *parent) { *parent = &interface_module; return OK; }

GC_ERROR DevGetPort(handle module, handle *port) {
    NEED(is_kind(module, DEVICE), ERR_INVALID_HANDLE, "no camera");
    *port = &((struct device *)module)->remote;
    return OK;
}

/* ---- ports ---- */

GC_ERROR GCGetPortInfo(handle port, int32_t command, int32_t *kind, void *out, size_t *size) {
    struct device *device = of_remote(port);
    switch (command) {
    case 0: case 2: return give_text(device ? device->serial : "module", kind, out, size);
    case 1: return give_text("inspectd", kind, out, size);
    case 3: return give_text("Custom", kind, out, size);
    case 4: return give_text(device ? "Device" : "TLInterface", kind, out, size);
    case 5: case 7: case 8: GIVE(T_BOOL8, bool8_t, 1);
    case 6: case 9: case 10: GIVE(T_BOOL8, bool8_t, 0);
    case 11: return give_text("1.0", kind, out, size);
    case 12: return give_text(device ? "Device" : "InterfacePort", kind, out, size);
    default: return fail(ERR_NOT_IMPLEMENTED, "no such information");
    }
}

GC_ERROR GCGetNumPortURLs(handle port, uint32_t *count) { *count = 1; return OK; }

GC_ERROR GCGetPortURLInfo(handle port, uint32_t index, int32_t command, int32_t *kind, void *out, size_t *size) {
    ENTER();
    char url[100];
    struct device *device = of_remote(port);
    size_t xml_size = device ? device->xml_size : interface_xml_size;
    NEED(index == 0, ERR_INVALID_INDEX, "there is one description");
    NEED(device || (is_kind(port, INTERFACE) && interface_xml), ERR_NOT_AVAILABLE, "there is no description");
    switch (command) {
    case 0:
        snprintf(url, sizeof url, "local:///camera.xml;%x;%zx?SchemaVersion=1.1.0", XML, xml_size);
        return give_text(url, kind, out, size);
    case 1: case 2: case 3: GIVE(T_INT32, int32_t, 1);
    case 4: case 5: case 9: GIVE(T_INT32, int32_t, 0);
    case 7: GIVE(T_UINT64, uint64_t, XML);
    case 8: GIVE(T_UINT64, uint64_t, xml_size);
    case 10: return give_text("camera.xml", kind, out, size);
    default: return fail(ERR_NOT_IMPLEMENTED, "no such information");
    }
}

GC_ERROR GCGetPortURL(handle port, char *url, size_t *size) {
    int32_t kind;
    return GCGetPortURLInfo(port, 0, 0, &kind, url, size);
}

static GC_ERROR read_interface(uint64_t address, uint8_t *out, size_t size) {
    /* 0: selector, 4: its highest value, 0x10: address of the camera, 0x18: its hardware address, 0x20: its id */
    uint8_t registers[0x80] = {0};
    uint32_t most = listed_count ? listed_count - 1 : 0, ip = 0xC0A82800u + 11 + interface_selector;
    uint64_t mac = 0x00111C000000u + 1 + interface_selector;
    memcpy(registers, &interface_selector, 4);
    memcpy(registers + 4, &most, 4);
    memcpy(registers + 0x10, &ip, 4);
    memcpy(registers + 0x18, &mac, 8);
    if (listed_count) id_of(&devices[listed[interface_selector]], (char *)registers + 0x20);
    NEED(address + size <= sizeof registers, ERR_INVALID_ADDRESS, "there is no such register");
    memcpy(out, registers + address, size);
    return OK;
}

GC_ERROR GCReadPort(handle port, uint64_t address, void *out, size_t *size) {
    ENTER();
    struct device *device = of_remote(port);
    const char *xml = device ? device->xml : interface_xml;
    size_t xml_size = device ? device->xml_size : interface_xml_size;
    NEED(device || is_kind(port, INTERFACE), ERR_NOT_IMPLEMENTED, "this module has no registers");
    NEED(!device || !device->is_lost, ERR_IO, "the camera does not answer");
    if (xml && address >= XML && address + *size <= XML + xml_size) {
        memcpy(out, xml + (address - XML), *size);
        return OK;
    }
    if (!device) return read_interface(address, out, *size);
    NEED(address + *size <= REGISTERS, ERR_INVALID_ADDRESS, "there is no such register");
    pthread_mutex_lock(&lock);
    set_reg(device, PAYLOAD_SIZE, payload_bytes(device));
    memcpy(out, device->registers + address, *size);
    pthread_mutex_unlock(&lock);
    return OK;
}

GC_ERROR GCWritePort(handle port, uint64_t address, const void *value, size_t *size) {
    ENTER();
    struct device *device = of_remote(port);
    if (is_kind(port, INTERFACE) && address == 0 && *size == 4 && *(uint32_t *)value < (uint32_t)listed_count) {
        memcpy(&interface_selector, value, 4);
        return OK;
    }
    NEED(device, ERR_NOT_IMPLEMENTED, "this module has no registers");
    NEED(!device->is_lost, ERR_IO, "the camera does not answer");
    NEED(!device->is_revoked, ERR_ACCESS_DENIED, "another program controls the camera");
    NEED(address + *size <= REGISTERS, ERR_INVALID_ADDRESS, "there is no such register");
    if (option(device, " stubborn") && address == TRIGGER_ACTIVATION) return OK;
    pthread_mutex_lock(&lock);
    memcpy(device->registers + address, value, *size);
    if (address == EXPOSURE_TIME) /* in steps of 10 us */
        set_real(device, EXPOSURE_TIME, (double)(10 * (int64_t)(real(device, EXPOSURE_TIME) / 10 + 0.5)));
    if (address == START) {
        device->is_acquiring = 1;
        device->frame_id = number(device, " first=", 1);
        device->due_ns = now_ns();
        if (device->held_ns) device->later_ns = now_ns();
    }
    if (address == LATCH) {
        uint64_t latched_ns = clock_ns(device, now_ns());
        memcpy(device->registers + LATCHED_NS, &latched_ns, 8);
    }
    if (address == STOP) device->is_acquiring = 0;
    pthread_mutex_unlock(&lock);
    return OK;
}

struct stacked { uint64_t address; void *buffer; size_t size; };

GC_ERROR GCReadPortStacked(handle port, struct stacked *entries, size_t *count) {
    for (size_t each = 0; each < *count; each++) {
        GC_ERROR code = GCReadPort(port, entries[each].address, entries[each].buffer, &entries[each].size);
        if (code) { *count = each; return code; }
    }
    return OK;
}

GC_ERROR GCWritePortStacked(handle port, struct stacked *entries, size_t *count) {
    for (size_t each = 0; each < *count; each++) {
        GC_ERROR code = GCWritePort(port, entries[each].address, entries[each].buffer, &entries[each].size);
        if (code) { *count = each; return code; }
    }
    return OK;
}

/* ---- events ---- */

static struct event *event_of(handle source, int32_t type) {
    if (is_kind(source, DEVICE) && type == EVENT_ERROR) return &((struct device *)source)->error;
    if (of_stream(source) && type == EVENT_NEW_BUFFER) return &of_stream(source)->filled;
    return NULL;
}

GC_ERROR GCRegisterEvent(handle source, int32_t type, handle *made) {
    ENTER();
    struct event *event = event_of(source, type);
    NEED(event, ERR_NOT_IMPLEMENTED, "this module has no such event");
    NEED(!event->is_registered, ERR_RESOURCE_IN_USE, "registered already");
    event->is_registered = 1;
    event->is_killed = event->pending = 0;
    *made = event;
    return OK;
}

GC_ERROR GCUnregisterEvent(handle source, int32_t type) {
    ENTER();
    struct event *event = event_of(source, type);
    NEED(event && event->is_registered, ERR_INVALID_PARAMETER, "not registered");
    event->is_registered = 0;
    return OK;
}

GC_ERROR EventGetData(handle of, void *out, size_t *size, uint64_t timeout_ms) {
    ENTER();
    struct event *event = of;
    NEED(is_kind(of, EVENT) && event->is_registered, ERR_INVALID_HANDLE, "no event");
    struct device *device = event->device;
    uint64_t end_ns = now_ns() + timeout_ms * 1000000u;
    struct timespec end = {end_ns / 1000000000u, end_ns % 1000000000u};
    GC_ERROR code = OK;
    pthread_mutex_lock(&lock);
    while (!event->pending && !event->is_killed && code != ERR_TIMEOUT)
        if (timeout_ms == 0 || pthread_cond_timedwait(&told, &lock, &end)) code = ERR_TIMEOUT;
    if (event->is_killed) {
        event->is_killed = 0;
        code = ERR_ABORT;
    } else if (event->pending) {
        event->pending--;
        if (event->type == EVENT_NEW_BUFFER) {
            struct buffer *buffer = device->buffers[device->output[0]];
            memmove(device->output, device->output + 1, --device->ready * sizeof(int));
            buffer->is_output = 0;
            void *data[2] = {buffer, buffer->user};
            memcpy(out, data, sizeof data);
            *size = sizeof data;
        } else {
            int32_t what = ERR_IO;
            memcpy(out, &what, sizeof what);
            *size = sizeof what;
        }
        code = OK;
    }
    pthread_mutex_unlock(&lock);
    return code ? fail(code, code == ERR_TIMEOUT ? "nothing happened in time" : "the wait was ended") : OK;
}

GC_ERROR EventGetDataInfo(handle of, const void *in, size_t in_size, int32_t command, int32_t *kind, void *out, size_t *size) {
    struct event *event = of;
    if (event->type == EVENT_NEW_BUFFER && command < 2) GIVE(T_PTR, void *, ((void *const *)in)[command]);
    if (event->type == EVENT_ERROR && command == 0) GIVE(T_INT32, int32_t, *(const int32_t *)in);
    if (event->type == EVENT_ERROR && command == 1) return give_text("something went wrong", kind, out, size);
    return fail(ERR_NOT_IMPLEMENTED, "no such information");
}

GC_ERROR EventGetInfo(handle of, int32_t command, int32_t *kind, void *out, size_t *size) {
    struct event *event = of;
    switch (command) {
    case 0: GIVE(T_INT32, int32_t, event->type);
    case 1: GIVE(T_SIZET, size_t, event->pending);
    case 2: GIVE(T_UINT64, uint64_t, event->pending);
    case 3: case 4: GIVE(T_SIZET, size_t, 16);
    default: return fail(ERR_NOT_IMPLEMENTED, "no such information");
    }
}

GC_ERROR EventFlush(handle of) {
    struct event *event = of;
    pthread_mutex_lock(&lock);
    event->pending = 0;
    if (event->type == EVENT_NEW_BUFFER) event->device->ready = 0;
    pthread_mutex_unlock(&lock);
    return OK;
}

GC_ERROR EventKill(handle of) {
    pthread_mutex_lock(&lock);
    ((struct event *)of)->is_killed = 1;
    pthread_cond_broadcast(&told);
    pthread_mutex_unlock(&lock);
    return OK;
}

/* ---- streams and buffers ---- */

GC_ERROR DevGetNumDataStreams(handle module, uint32_t *count) { *count = 1; return OK; }

GC_ERROR DevGetDataStreamID(handle module, uint32_t index, char *id, size_t *size) {
    int32_t kind;
    NEED(index == 0, ERR_INVALID_INDEX, "there is one stream");
    return give_text("stream0", &kind, id, size);
}

GC_ERROR DevOpenDataStream(handle module, const char *id, handle *opened) {
    ENTER();
    struct device *device = module;
    NEED(is_kind(module, DEVICE) && device->is_open, ERR_INVALID_HANDLE, "no open camera");
    NEED(!device->is_stream_open, ERR_RESOURCE_IN_USE, "open already");
    device->is_stream_open = 1;
    device->buffer_count = device->queued = device->ready = 0;
    *opened = &device->stream;
    return OK;
}

GC_ERROR DSClose(handle stream) {
    ENTER();
    struct device *device = of_stream(stream);
    NEED(device && device->is_stream_open, ERR_INVALID_HANDLE, "no open stream");
    device->is_stream_open = device->is_started = 0;
    return OK;
}

GC_ERROR DSGetParentDev(handle stream, handle *parent) { *parent = &of_stream(stream)->head; return OK; }

GC_ERROR DSAnnounceBuffer(handle stream, void *memory, size_t size, void *user, handle *announced) {
    ENTER();
    struct device *device = of_stream(stream);
    NEED(device && device->buffer_count < MOST_BUFFERS, ERR_RESOURCE_IN_USE, "too many buffers");
    struct buffer *buffer = calloc(1, sizeof *buffer);
    *buffer = (struct buffer){.head = {BUFFER}, .base = memory, .size = size, .user = user};
    device->buffers[device->buffer_count++] = buffer;
    *announced = buffer;
    return OK;
}

GC_ERROR DSAllocAndAnnounceBuffer(handle stream, size_t size, void *user, handle *announced) {
    GC_ERROR code = DSAnnounceBuffer(stream, calloc(1, size), size, user, announced);
    if (!code) ((struct buffer *)*announced)->is_ours = 1;
    return code;
}

static int index_of(struct device *device, handle buffer) {
    for (int index = 0; index < device->buffer_count; index++)
        if (device->buffers[index] == buffer) return index;
    return -1;
}

GC_ERROR DSRevokeBuffer(handle stream, handle which, void **memory, void **user) {
    ENTER();
    struct device *device = of_stream(stream);
    int index = device ? index_of(device, which) : -1;
    NEED(index >= 0, ERR_INVALID_HANDLE, "no such buffer");
    struct buffer *buffer = which;
    NEED(!buffer->is_queued && !buffer->is_output, ERR_RESOURCE_IN_USE, "the buffer is queued");
    NEED(!device->is_keeping, ERR_RESOURCE_IN_USE, "the buffer is kept");
    if (memory) *memory = buffer->is_ours ? NULL : buffer->base;
    if (user) *user = buffer->user;
    if (buffer->is_ours) free(buffer->base);
    /* The others keep their places: queues name them by these. */
    device->buffers[index] = NULL;
    free(buffer);
    return OK;
}

GC_ERROR DSQueueBuffer(handle stream, handle which) {
    struct device *device = of_stream(stream);
    int index = device ? index_of(device, which) : -1;
    NEED(index >= 0, ERR_INVALID_HANDLE, "no such buffer");
    struct buffer *buffer = which;
    NEED(!buffer->is_queued, ERR_RESOURCE_IN_USE, "the buffer is queued");
    pthread_mutex_lock(&lock);
    buffer->is_queued = 1;
    buffer->has_new_data = 0;
    buffer->filled = 0;
    device->queue[device->queued++] = index;
    pthread_mutex_unlock(&lock);
    return OK;
}

GC_ERROR DSFlushQueue(handle stream, int32_t operation) {
    ENTER();
    struct device *device = of_stream(stream);
    NEED(device, ERR_INVALID_HANDLE, "no stream");
    pthread_mutex_lock(&lock);
    if (operation == 1 || operation == 4)
        for (; device->ready; device->ready--) device->buffers[device->output[device->ready - 1]]->is_output = 0;
    if (operation == 4)
        for (; device->queued; device->queued--) device->buffers[device->queue[device->queued - 1]]->is_queued = 0;
    device->filled.pending = device->ready;
    pthread_mutex_unlock(&lock);
    return OK;
}

GC_ERROR DSStartAcquisition(handle stream, int32_t flags, uint64_t frames) {
    ENTER();
    struct device *device = of_stream(stream);
    NEED(device && device->is_stream_open, ERR_INVALID_HANDLE, "no open stream");
    device->is_started = 1;
    return OK;
}

GC_ERROR DSStopAcquisition(handle stream, int32_t flags) {
    ENTER();
    struct device *device = of_stream(stream);
    NEED(device && device->is_started, ERR_RESOURCE_IN_USE, "not started");
    pthread_mutex_lock(&lock);
    device->is_started = 0;
    pthread_mutex_unlock(&lock);
    return OK;
}

GC_ERROR DSGetInfo(handle stream, int32_t command, int32_t *kind, void *out, size_t *size) {
    struct device *device = of_stream(stream);
    NEED(device, ERR_INVALID_HANDLE, "no stream");
    switch (command) {
    case 0: return give_text("stream0", kind, out, size);
    case 1: GIVE(T_UINT64, uint64_t, device->delivered);
    case 2: GIVE(T_UINT64, uint64_t, device->underrun);
    case 3: GIVE(T_SIZET, size_t, device->buffer_count);
    case 4: GIVE(T_SIZET, size_t, device->queued);
    case 5: GIVE(T_SIZET, size_t, device->ready);
    case 7: return fail(ERR_NOT_AVAILABLE, "the camera says it");
    case 8: GIVE(T_BOOL8, bool8_t, device->is_started);
    case 9: GIVE(T_BOOL8, bool8_t, 0);
    case 10: return give_text("Custom", kind, out, size);
    case 11: GIVE(T_SIZET, size_t, CHUNKS + 1);
    case 12: GIVE(T_SIZET, size_t, 2);
    case 13: GIVE(T_SIZET, size_t, 64);
    default: return fail(ERR_NOT_IMPLEMENTED, "no such information");
    }
}

GC_ERROR DSGetBufferID(handle stream, uint32_t index, handle *buffer) {
    struct device *device = of_stream(stream);
    NEED(device && index < (uint32_t)device->buffer_count, ERR_INVALID_INDEX, "no such buffer");
    *buffer = device->buffers[index];
    return OK;
}

GC_ERROR DSGetBufferInfo(handle stream, handle which, int32_t command, int32_t *kind, void *out, size_t *size) {
    struct device *device = of_stream(stream);
    struct buffer *buffer = which;
    NEED(device && index_of(device, which) >= 0, ERR_INVALID_HANDLE, "no such buffer");
    if (command == 19 && device->overwrite && device->overwrite--) {
        buffer->frame_id++;
        memset(buffer->base, 99, buffer->size / 2);
    }
    NEED(command >= MOST_INFO || device->is_said[command] != 2, ERR_NOT_AVAILABLE, "it does not say");
    if (command < MOST_INFO && device->is_said[command]) GIVE(7, int64_t, device->said[command]);
    switch (command) {
    case 0: GIVE(T_PTR, void *, buffer->base);
    case 1: GIVE(T_SIZET, size_t, buffer->size);
    case 2: GIVE(T_PTR, void *, buffer->user);
    case 3: GIVE(T_UINT64, uint64_t, option(device, " ticks") ? buffer->stamp_ns / 8 : buffer->stamp_ns);
    case 4: GIVE(T_BOOL8, bool8_t, buffer->has_new_data);
    case 5: GIVE(T_BOOL8, bool8_t, buffer->is_queued);
    case 6: GIVE(T_BOOL8, bool8_t, 0);
    case 7: GIVE(T_BOOL8, bool8_t, buffer->is_incomplete);
    case 8: return give_text(option(device, " unlisted") ? "GEV" : "Custom", kind, out, size);
    case 9: GIVE(T_SIZET, size_t, buffer->filled);
    case 10: GIVE(T_SIZET, size_t, buffer->width);
    case 11: GIVE(T_SIZET, size_t, buffer->height);
    case 12: case 13: case 14: case 15: case 18: GIVE(T_SIZET, size_t, 0);
    case 16:
        NEED(!option(device, " unnumbered"), ERR_NOT_AVAILABLE, "frames have no numbers");
        GIVE(T_UINT64, uint64_t, buffer->frame_id);
    case 17: GIVE(T_BOOL8, bool8_t, 1);
    case 19: GIVE(T_SIZET, size_t, buffer->has_chunks ? 4 : 1);
    case 20: GIVE(T_UINT64, uint64_t, buffer->pixel_format);
    case 21: GIVE(T_UINT64, uint64_t, 4);
    case 22: GIVE(T_SIZET, size_t, buffer->delivered);
    case 23: GIVE(T_SIZET, size_t, buffer->filled);
    case 26: GIVE(T_INT32, int32_t, 1);
    case 27: GIVE(T_SIZET, size_t, buffer->intended);
    case 28:
        NEED(!option(device, " ticks"), ERR_NOT_AVAILABLE, "its clock counts ticks");
        GIVE(T_UINT64, uint64_t, buffer->stamp_ns);
    case 29: GIVE(T_BOOL8, bool8_t, buffer->is_larger);
    case 30: GIVE(T_BOOL8, bool8_t, buffer->has_chunks);
    default: return fail(ERR_NOT_IMPLEMENTED, "no such information");
    }
}

struct single_chunk { uint64_t id; ptrdiff_t offset; size_t length; };

GC_ERROR DSGetBufferChunkData(handle stream, handle which, struct single_chunk *chunks, size_t *count) {
    struct device *device = of_stream(stream);
    struct buffer *buffer = which;
    NEED(device && index_of(device, which) >= 0, ERR_INVALID_HANDLE, "no such buffer");
    NEED(!option(device, " unlisted"), ERR_NOT_IMPLEMENTED, "chunks are not listed");
    NEED(buffer->has_chunks, ERR_NO_DATA, "there are no chunks");
    if (!chunks) { *count = buffer->chunks; return OK; }
    NEED(*count >= buffer->chunks, ERR_BUFFER_TOO_SMALL, "the buffer is too small");
    for (size_t each = 0; each < buffer->chunks; each++)
        chunks[each] = (struct single_chunk){buffer->chunk_id[each], buffer->chunk_offset[each], buffer->chunk_length[each]};
    *count = buffer->chunks;
    return OK;
}

GC_ERROR DSGetNumBufferParts(handle stream, handle which, uint32_t *parts) { return fail(ERR_NO_DATA, "there are no parts"); }
GC_ERROR DSGetBufferPartInfo(handle stream, handle which, uint32_t part, int32_t command, int32_t *kind, void *out, size_t *size) { return fail(ERR_NO_DATA, "there are no parts"); }
