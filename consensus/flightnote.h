/* One event of a tool that works on a stopped server's storage: into that server's flight recorder. */
#ifndef OC_CONSENSUS_FLIGHTNOTE_H
#define OC_CONSENSUS_FLIGHTNOTE_H

#include "shared/flight/record.h"

/* Call it with the storage's lock held. A recorder that cannot be written is no error: the log says so. */
void flightnote_leave(const char *storage_dir, struct flight_record *r);

#endif
