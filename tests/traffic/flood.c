/* flood: send made-up packets out of one interface, bounded in count and time, and say exactly how many left.
 *
 * All frames are built before the first one leaves; the loop only calls sendmmsg. They go out in a fixed order, again
 * and again: frame i (0 <= i < distinct) has source address number 1 + i mod hosts, source port first + i mod ports, the
 * same for destination ports, so that a test knows how often each left from `sent` alone. Prints one line of JSON.
 * For network namespaces that a test made; everything it needs is given, nothing is looked up.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <getopt.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BATCH = 64, MAX_FRAME = 9216, MAX_DISTINCT = 65536, MAX_SECONDS = 600, ETHERNET = 14 };

struct range {
	uint32_t first, last;
};

struct prefix {
	int family;
	uint8_t address[16];
	unsigned length;
};

struct flood {
	const char *ifname;
	struct ether_addr to, from;
	struct prefix src;
	uint8_t dst[16];
	struct range sport, dport;
	unsigned protocol, flags, icmp_type, size, distinct, vlans[2], vlan_count, fragment_offset;
	int more_fragments;
	uint64_t count, rate;
	double seconds;
};

static volatile sig_atomic_t stopped;

static void stop(int signal_number)
{
	(void)signal_number;
	stopped = 1;
}

static void die(const char *what, const char *value)
{
	fprintf(stderr, "flood: %s: %s\n", what, value);
	exit(2);
}

/* ---- arguments ---- */

static uint64_t number(const char *name, const char *text, uint64_t lowest, uint64_t highest)
{
	char *end;
	uint64_t value = strtoull(text, &end, 0);

	if (*end || end == text || value < lowest || value > highest)
		die(name, text);
	return value;
}

static struct range ports(const char *name, const char *text)
{
	unsigned first, last;
	int fields = sscanf(text, "%u-%u", &first, &last);

	if (fields < 1)
		die(name, text);
	if (fields == 1)
		last = first;
	if (first > last || last > 65535)
		die(name, text);
	return (struct range){ first, last };
}

static int address(const char *name, const char *text, uint8_t *out)
{
	if (inet_pton(AF_INET, text, out) == 1)
		return AF_INET;
	if (inet_pton(AF_INET6, text, out) != 1)
		die(name, text);
	return AF_INET6;
}

static struct prefix prefix(const char *name, const char *text)
{
	struct prefix result = { 0 };
	char copy[64] = { 0 }, *slash;
	unsigned width;

	strncpy(copy, text, sizeof(copy) - 1);
	slash = strchr(copy, '/');
	if (slash)
		*slash = 0;
	result.family = address(name, copy, result.address);
	width = result.family == AF_INET ? 32 : 128;
	result.length = slash ? number(name, slash + 1, 0, width) : width;
	return result;
}

static unsigned protocol(const char *text, int family)
{
	if (!strcmp(text, "udp"))
		return IPPROTO_UDP;
	if (!strcmp(text, "tcp"))
		return IPPROTO_TCP;
	if (!strcmp(text, "icmp"))
		return family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6;
	return number("--proto", text, 0, 255);
}

static unsigned tcp_flags(const char *text)
{
	static const char letters[] = "FSRPAUEC"; /* bit 0 upwards, RFC 9293 */
	unsigned flags = 0;

	for (; *text; text++) {
		const char *at = strchr(letters, *text);

		if (!at)
			die("--flags", text);
		flags |= 1u << (at - letters);
	}
	return flags;
}

/* ---- frames ---- */

static uint8_t *put16(uint8_t *at, unsigned value)
{
	at[0] = value >> 8;
	at[1] = value;
	return at + 2;
}

static uint32_t sum(const uint8_t *at, size_t bytes, uint32_t so_far)
{
	for (; bytes > 1; at += 2, bytes -= 2)
		so_far += at[0] << 8 | at[1];
	return bytes ? so_far + (at[0] << 8) : so_far;
}

static unsigned fold(uint32_t value)
{
	while (value >> 16)
		value = (value & 0xffff) + (value >> 16);
	return ~value & 0xffff;
}

/* The i-th address of a prefix, 1 the first; wraps within the host bits that fit 31 bits. */
static void nth_address(const struct prefix *base, unsigned i, uint8_t *out)
{
	unsigned bytes = base->family == AF_INET ? 4 : 16, bits = bytes * 8 - base->length;
	uint64_t hosts = 1ull << (bits > 31 ? 31 : bits);
	uint64_t host = hosts > 2 ? 1 + i % (hosts - 2) : i % hosts;

	memcpy(out, base->address, bytes);
	for (unsigned at = bytes; host && at; host >>= 8)
		out[--at] |= host;
}

static void put_transport(const struct flood *f, unsigned i, uint8_t *at, unsigned bytes)
{
	unsigned sport = f->sport.first + i % (f->sport.last - f->sport.first + 1);
	unsigned dport = f->dport.first + i % (f->dport.last - f->dport.first + 1);

	if (f->fragment_offset)
		return; /* a later fragment holds payload only */
	if (f->protocol == IPPROTO_ICMP || f->protocol == IPPROTO_ICMPV6) {
		at[0] = f->icmp_type;
		put16(at + 4, i);
		return;
	}
	if (f->protocol != IPPROTO_UDP && f->protocol != IPPROTO_TCP)
		return;
	put16(put16(at, sport), dport);
	if (f->protocol == IPPROTO_UDP)
		put16(at + 4, bytes);
	else
		at[12] = 5 << 4, at[13] = f->flags, put16(at + 14, 65535);
}

static void put_checksum(const struct flood *f, const uint8_t *addresses, unsigned address_bytes, uint8_t *at, unsigned bytes)
{
	unsigned field = f->protocol == IPPROTO_UDP ? 6 : f->protocol == IPPROTO_TCP ? 16 : 2;
	uint32_t pseudo = f->protocol == IPPROTO_ICMP ? 0 : sum(addresses, address_bytes, f->protocol + bytes);
	unsigned value;

	if (f->fragment_offset || f->more_fragments)
		return; /* it would cover the whole datagram, which never comes together here */
	if (f->protocol != IPPROTO_UDP && f->protocol != IPPROTO_TCP && f->protocol != IPPROTO_ICMP && f->protocol != IPPROTO_ICMPV6)
		return;
	value = fold(sum(at, bytes, pseudo));
	put16(at + field, value ? value : 0xffff);
}

static uint8_t *put_ipv4(const struct flood *f, unsigned i, uint8_t *ip)
{
	ip[0] = 0x45;
	put16(ip + 2, f->size);
	put16(ip + 4, i);
	put16(ip + 6, f->fragment_offset / 8 | (f->more_fragments ? 0x2000 : 0));
	ip[8] = 64;
	ip[9] = f->protocol;
	nth_address(&f->src, i, ip + 12);
	memcpy(ip + 16, f->dst, 4);
	put16(ip + 10, fold(sum(ip, 20, 0)));
	return ip + 20;
}

static uint8_t *put_ipv6(const struct flood *f, unsigned i, uint8_t *ip)
{
	int fragment = f->fragment_offset || f->more_fragments;
	uint8_t *next = ip + 40;

	ip[0] = 0x60;
	put16(ip + 4, f->size - 40);
	ip[6] = fragment ? IPPROTO_FRAGMENT : f->protocol;
	ip[7] = 64;
	nth_address(&f->src, i, ip + 8);
	memcpy(ip + 24, f->dst, 16);
	if (!fragment)
		return next;
	next[0] = f->protocol;
	put16(next + 2, f->fragment_offset | f->more_fragments);
	put16(next + 6, i);
	return next + 8;
}

/* Returns the frame's length in bytes, without FCS. */
static size_t build(const struct flood *f, unsigned i, uint8_t *frame)
{
	uint8_t *at = frame + 12, *ip, *transport;
	int v4 = f->src.family == AF_INET;

	memcpy(frame, &f->to, 6);
	memcpy(frame + 6, &f->from, 6);
	for (unsigned v = 0; v < f->vlan_count; v++)
		at = put16(put16(at, v + 1 < f->vlan_count ? 0x88a8 : 0x8100), f->vlans[v]);
	ip = put16(at, v4 ? 0x0800 : 0x86dd);
	for (unsigned filler = 0; filler < f->size; filler++)
		ip[filler] = 0;
	transport = v4 ? put_ipv4(f, i, ip) : put_ipv6(f, i, ip);
	put_transport(f, i, transport, ip + f->size - transport);
	put_checksum(f, ip + (v4 ? 12 : 8), v4 ? 8 : 32, transport, ip + f->size - transport);
	return ip + f->size - frame;
}

static size_t build_all(const struct flood *f, uint8_t *frames, struct iovec *pieces)
{
	size_t stride = f->size + ETHERNET + 8, length = 0;

	for (unsigned i = 0; i < f->distinct; i++) {
		length = build(f, i, frames + i * stride);
		pieces[i] = (struct iovec){ frames + i * stride, length };
	}
	return length;
}

/* ---- sending ---- */

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void sleep_until(double moment)
{
	struct timespec t = { (time_t)moment, (long)((moment - (time_t)moment) * 1e9) };

	while (!stopped && clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &t, NULL) == EINTR)
		;
}

static int open_interface(const char *ifname)
{
	struct sockaddr_ll where = { .sll_family = AF_PACKET, .sll_ifindex = (int)if_nametoindex(ifname) };
	int fd = socket(AF_PACKET, SOCK_RAW, 0); /* protocol 0: receives nothing */

	if (fd < 0 || !where.sll_ifindex || bind(fd, (struct sockaddr *)&where, sizeof(where)))
		die(ifname, strerror(errno));
	return fd;
}

/* What the socket took is what left: a refused frame is offered again, never skipped. */
static uint64_t send_all(const struct flood *f, int fd, struct mmsghdr *messages, uint64_t *refused)
{
	double start = now(), end = start + f->seconds;
	unsigned burst = f->rate && f->rate / 1000 < BATCH ? f->rate / 1000 + 1 : BATCH;
	uint64_t sent = 0;

	while (!stopped && sent < f->count && now() < end) {
		unsigned at = sent % f->distinct, batch = burst;
		int taken;

		if (f->rate)
			sleep_until(start + (double)sent / f->rate);
		if (batch > f->count - sent)
			batch = f->count - sent;
		if (batch > f->distinct - at)
			batch = f->distinct - at;
		taken = sendmmsg(fd, messages + at, batch, 0);
		if (taken > 0)
			sent += taken;
		else if (errno == ENOBUFS || errno == EAGAIN || errno == EINTR)
			++*refused;
		else
			die("send", strerror(errno));
	}
	return sent;
}

static void run(const struct flood *f)
{
	size_t stride = f->size + ETHERNET + 8, length;
	uint8_t *frames = calloc(f->distinct, stride);
	struct iovec *pieces = calloc(f->distinct, sizeof(*pieces));
	struct mmsghdr *messages = calloc(f->distinct, sizeof(*messages));
	uint64_t sent, refused = 0;
	double start;
	int fd;

	if (!frames || !pieces || !messages)
		die("memory", strerror(errno));
	length = build_all(f, frames, pieces);
	for (unsigned i = 0; i < f->distinct; i++)
		messages[i].msg_hdr = (struct msghdr){ .msg_iov = &pieces[i], .msg_iovlen = 1 };
	fd = open_interface(f->ifname);
	start = now();
	sent = send_all(f, fd, messages, &refused);
	printf("{\"sent\": %llu, \"frame_bytes\": %zu, \"distinct\": %u, \"refused\": %llu, \"seconds\": %.6f}\n",
	       (unsigned long long)sent, length, f->distinct, (unsigned long long)refused, now() - start);
}

static const char usage[] =
	"usage: flood --ifname NAME --dst-mac MAC --dst ADDRESS --src PREFIX --count N --seconds S\n"
	"             [--src-mac MAC] [--proto udp|tcp|icmp|NUMBER] [--sport N[-N]] [--dport N[-N]] [--size IP_BYTES]\n"
	"             [--flags FSRPAUEC] [--icmp-type N] [--vlan ID]... [--fragment-offset BYTES] [--more-fragments]\n"
	"             [--distinct FRAMES] [--rate PACKETS_PER_SECOND]\n";

static void check(const struct flood *f, int dst_family)
{
	unsigned headers = f->src.family == AF_INET ? 20 : 48;

	if (!f->ifname || !f->count || f->seconds <= 0 || f->seconds > MAX_SECONDS || f->src.family != dst_family) {
		fputs(usage, stderr);
		exit(2);
	}
	if (f->size < headers + 20 || f->size > MAX_FRAME)
		die("--size", "too small for its headers, or above 9216");
	if (f->fragment_offset % 8)
		die("--fragment-offset", "not a multiple of 8");
}

enum option_id { IFNAME = 1, TO, FROM, DST, SRC, COUNT, SECONDS, PROTO, SPORT, DPORT, SIZE, FLAGS, ICMP_TYPE, VLAN, OFFSET, MORE, DISTINCT, RATE };

static const struct option options[] = {
	{ "ifname", 1, 0, IFNAME }, { "dst-mac", 1, 0, TO },      { "src-mac", 1, 0, FROM },  { "dst", 1, 0, DST },
	{ "src", 1, 0, SRC },       { "count", 1, 0, COUNT },     { "seconds", 1, 0, SECONDS }, { "proto", 1, 0, PROTO },
	{ "sport", 1, 0, SPORT },   { "dport", 1, 0, DPORT },     { "size", 1, 0, SIZE },     { "flags", 1, 0, FLAGS },
	{ "icmp-type", 1, 0, ICMP_TYPE }, { "vlan", 1, 0, VLAN }, { "fragment-offset", 1, 0, OFFSET },
	{ "more-fragments", 0, 0, MORE }, { "distinct", 1, 0, DISTINCT }, { "rate", 1, 0, RATE }, { 0 },
};

static void mac(const char *name, const char *text, struct ether_addr *out)
{
	if (!ether_aton_r(text, out))
		die(name, text);
}

static void take(struct flood *f, int option, const char *text, const char **proto, int *dst_family)
{
	switch (option) {
	case IFNAME: f->ifname = text; break;
	case TO: mac("--dst-mac", text, &f->to); break;
	case FROM: mac("--src-mac", text, &f->from); break;
	case DST: *dst_family = address("--dst", text, f->dst); break;
	case SRC: f->src = prefix("--src", text); break;
	case COUNT: f->count = number("--count", text, 1, 1ull << 40); break;
	case SECONDS: f->seconds = atof(text); break;
	case PROTO: *proto = text; break;
	case SPORT: f->sport = ports("--sport", text); break;
	case DPORT: f->dport = ports("--dport", text); break;
	case SIZE: f->size = number("--size", text, 40, MAX_FRAME); break;
	case FLAGS: f->flags = tcp_flags(text); break;
	case ICMP_TYPE: f->icmp_type = number("--icmp-type", text, 0, 255); break;
	case VLAN:
		if (f->vlan_count == 2)
			die("--vlan", "more than two");
		f->vlans[f->vlan_count++] = number("--vlan", text, 0, 4095);
		break;
	case OFFSET: f->fragment_offset = number("--fragment-offset", text, 0, 65528); break;
	case MORE: f->more_fragments = 1; break;
	case DISTINCT: f->distinct = number("--distinct", text, 1, MAX_DISTINCT); break;
	case RATE: f->rate = number("--rate", text, 1, 100000000); break;
	default: fputs(usage, stderr); exit(2);
	}
}

int main(int argc, char **argv)
{
	struct flood f = { .size = 128, .distinct = 1024, .sport = { 53, 53 }, .dport = { 40000, 40000 }, .flags = 0x02,
			   .icmp_type = 8, .from = { { 2, 0, 0, 0, 0, 1 } } };
	const char *proto = "udp";
	int option, dst_family = -1;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1)
		take(&f, option, optarg, &proto, &dst_family);
	f.protocol = protocol(proto, f.src.family);
	check(&f, dst_family);
	signal(SIGINT, stop);
	signal(SIGTERM, stop);
	run(&f);
	return 0;
}
