/* Takes a recorder's file over, adds one record, and puts it back: as a short run of its own. */
#include "consensus/flightnote.h"

#include "consensus/diskfile.h"
#include "consensus/flightlog.h"
#include "shared/base/clock.h"
#include "shared/config/worker_config.h"
#include "shared/flight/ring.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void flightnote_leave(const char *storage_dir, struct flight_record *r)
{
    struct flight_ring *ring = flight_ring_new();
    char path[CONFIG_PATH_SIZE + sizeof FLIGHT_FILE_SUFFIX];
    size_t dir_len = strlen(storage_dir), len = 0;
    uint8_t *image = NULL;
    struct stat owner;

    while (dir_len > 1 && storage_dir[dir_len - 1] == '/')
        dir_len--;
    if (!ring)
        return;
    (void)snprintf(path, sizeof path, "%.*s%s", (int)dir_len, storage_dir, FLIGHT_FILE_SUFFIX);
    if (diskfile_read(AT_FDCWD, path, FLIGHT_FILE_BYTES, &image, &len) == 0)
        (void)flight_ring_load(ring, image, len);
    free(image);
    r->mono_ns = clock_mono_ns();
    r->wall_ms = clock_wall_ms();
    r->repeats = 1;
    (void)flight_ring_put(ring, r);
    flightlog_stop(flightlog_start(flight_ring_fd(ring), path));
    /* Made by root, it would be closed to the service's user; then that one goes on in memory, and says so. */
    if (stat(storage_dir, &owner) == 0 && diskfile_give(AT_FDCWD, path, &owner) < 0)
        (void)fprintf(stderr, "%s: could not be given to the owner of %s\n", path, storage_dir);
    flight_ring_free(ring);
}
