/* Options -> the config struct of each worker. Pure; the supervisor seals the bytes into fd 4. */
#ifndef OC_SUPERVISOR_CONFIG_PACK_H
#define OC_SUPERVISOR_CONFIG_PACK_H

#include "supervisor/options.h"

/* Fill every byte of *ret (unused ones with zero), including config_common. */
void config_pack_consensus(const struct options *opts, uint32_t incarnation, struct config_consensus *ret);
void config_pack_healthd(const struct options *opts, uint32_t incarnation, struct config_healthd *ret);
void config_pack_rpcd(const struct options *opts, uint32_t incarnation, struct config_rpcd *ret);

#endif
