/* The tests of a rule, as instructions that filter/conditions.py writes: they fall through when they hold, else go to .Lno.
 * bcc reads the text for the host first, which knows no register of BPF's: r0 to r3 are names of operands, the compiler
 * chooses the registers. */

#define HOLDS(tests)                                                                                                    \
	({                                                                                                              \
		u64 holds, r0, r1, r2, r3;                                                                              \
		asm volatile("%[holds] = 0\n" tests "%[holds] = 1\n"                                                    \
			     ".Lno%=:"                                                                                  \
			     : [holds] "=&r"(holds), [r0] "=&r"(r0), [r1] "=&r"(r1), [r2] "=&r"(r2), [r3] "=&r"(r3)     \
			     : [packet] "r"(packet));                                                                   \
		holds;                                                                                                  \
	})
