/* The kernel's names for integers of fixed width. Byte-order marks are for readers: no checker runs over these programs. */
#ifndef SPILLWAY_TYPES_H
#define SPILLWAY_TYPES_H

typedef signed char s8;
typedef signed short s16;
typedef signed int s32;
typedef signed long long s64;
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long long u64;

typedef s8 __s8;
typedef s16 __s16;
typedef s32 __s32;
typedef s64 __s64;
typedef u8 __u8;
typedef u16 __u16;
typedef u32 __u32;
typedef u64 __u64;

typedef __u16 __be16;
typedef __u32 __be32;
typedef __u64 __be64;
typedef __u16 __le16;
typedef __u32 __le32;
typedef __u64 __le64;
typedef __u16 __sum16;
typedef __u32 __wsum;

typedef unsigned long size_t;
typedef unsigned long uintptr_t;
typedef long ssize_t;
typedef _Bool bool;

enum { false = 0, true = 1 };

#define __aligned_u64 __u64 __attribute__((aligned(8)))

#endif
