/* What bcc takes from a kernel's headers, and no more: bcc includes this file first, the others by name.
 * Programs are compiled on nodes that have no kernel headers; nothing here depends on the kernel that runs. */
#ifndef SPILLWAY_KCONFIG_H
#define SPILLWAY_KCONFIG_H

#include <linux/types.h>

#define CONFIG_BPF_SYSCALL 1
#define NULL ((void *)0)
#define PAGE_SIZE 4096UL
#define __always_inline inline __attribute__((always_inline))

#endif
