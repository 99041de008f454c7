/* A wall clock for a server under test that stands still and moves only when a test says so.
 *
 * Preloaded into the server (LD_PRELOAD). CLOCK_FILE names a file of 8 bytes that both sides map:
 * Unix time in microseconds; 0 means the real time. The monotonic clocks stay real, so the
 * server's own timers go on.
 *
 * Build: cc -shared -fPIC -O1 -o clock_shim.so clock_shim.c
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static volatile long *clock_us;
static int tried;

static long told(void) {
    if (!tried) {
        const char *path = getenv("CLOCK_FILE");
        tried = 1;
        if (path) {
            int file = open(path, O_RDONLY);
            if (file >= 0) {
                void *map = mmap(0, sizeof(long), PROT_READ, MAP_SHARED, file, 0);
                if (map != MAP_FAILED) clock_us = map;
                close(file);
            }
        }
    }
    return clock_us ? *clock_us : 0;
}

int clock_gettime(clockid_t id, struct timespec *out) {
    long now = id == CLOCK_REALTIME || id == CLOCK_REALTIME_COARSE ? told() : 0;
    if (!now) return (int)syscall(SYS_clock_gettime, id, out);
    out->tv_sec = now / 1000000;
    out->tv_nsec = now % 1000000 * 1000;
    return 0;
}

int gettimeofday(struct timeval *restrict out, void *restrict zone) {
    struct timespec now;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &now);
    out->tv_sec = now.tv_sec;
    out->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *out) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (out) *out = now.tv_sec;
    return now.tv_sec;
}
