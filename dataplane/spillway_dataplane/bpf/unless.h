/* The tests of a rule, as instructions that filter/conditions.py writes: they fall through when they hold, else go to `no`.
 * bcc reads the text for the host first, which knows no register of BPF's: r0 to r3 are names of operands, the compiler
 * chooses the registers. */

#define UNLESS(tests, no)                                                                                               \
	({                                                                                                              \
		u64 r0, r1, r2, r3;                                                                                     \
		asm volatile goto(tests                                                                                 \
				  : [r0] "=&r"(r0), [r1] "=&r"(r1), [r2] "=&r"(r2), [r3] "=&r"(r3)                      \
				  : [packet] "r"(packet)                                                                \
				  :                                                                                     \
				  : no);                                                                                \
	})
