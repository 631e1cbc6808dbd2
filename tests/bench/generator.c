/* Sends each live frame out again with another source address and source port, from a table of 4,096: the flood of drop-e2e.
 * What the address gains the identification loses, so that the IP header's checksum stays right. UDP has none. */
struct flood_variant { u16 source_low_be; u16 ident_be; u16 sport_be; u16 unused; };
BPF_ARRAY(variants, struct flood_variant, 4096);
BPF_PERCPU_ARRAY(position, u32, 1);

int generate(struct xdp_md *ctx) {
  u8 *data = (u8 *)(long)ctx->data, *end = (u8 *)(long)ctx->data_end;
  int zero = 0;
  if (data + 36 > end) return 0; /* XDP_ABORTED */
  u32 *at = position.lookup(&zero);
  if (!at) return 0;
  int index = (*at)++ & 4095;
  struct flood_variant *variant = variants.lookup(&index);
  if (!variant) return 0;
  *(u16 *)(data + 18) = variant->ident_be;
  *(u16 *)(data + 28) = variant->source_low_be;
  *(u16 *)(data + 34) = variant->sport_be;
  return 3; /* XDP_TX */
}
