/* See model.h. */
#include "model.h"

#include <math.h>
#include <netinet/in.h>
#include <stdlib.h>
#include <string.h>

#define OPPORTUNITY 1504 /* bytes that a line of a trace may carry, as in mahimahi */

struct direction ab = {.name = "ab"}, ba = {.name = "ba"};
struct direction *const BOTH[2] = {&ab, &ba};
FILE *journal;
static uint8_t inside[65536]; /* ports that a NAT has seen on side a */

#define P(name) {#name, offsetof(struct direction, name)}
static const struct { const char *name; size_t at; } PARAMETERS[] = {
    P(delay), P(jitter), P(jitter_reorder), P(rate), P(queue_bytes), P(queue_packets), P(ecn_threshold), P(loss),
    P(loss_run), P(ge_enter), P(ge_leave), P(ge_loss), P(ge_loss_good), P(reorder), P(reorder_delay), P(duplicate),
    P(corrupt), P(blackhole), P(no_udp), P(mtu), P(network), P(drop_first), P(drop_last), P(nat_host), P(nat_port),
};

/* --- chance: SplitMix64 ---------------------------------------------------------------------------------- */

static uint64_t draw_bits(uint64_t *state) {
    uint64_t z = (*state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

static double draw(uint64_t *state) { return (draw_bits(state) >> 11) * 0x1.0p-53; }

static void sample(struct samples *s, double value) {
    if (s->count == s->room) s->values = grow(s->values, (s->room = s->room ? 2 * s->room : 4096) * sizeof(float));
    s->values[s->count++] = (float)value;
}

static int by_size(const void *a, const void *b) { return (*(float *)a > *(float *)b) - (*(float *)a < *(float *)b); }

static double quantile(struct samples *s, double share) { /* of sorted samples */
    return s->count ? s->values[(size_t)(share * (s->count - 1))] : 0;
}

/* A line for each thing that happens to a packet: microseconds, direction, what, number, bytes, first payload byte. */
static void note(struct direction *d, const char *what, const struct packet *p, int64_t now) {
    if (!journal) return;
    uint32_t header = p->data[0] >> 4 == 4 ? (p->data[0] & 15) * 4u : 40;
    int first = p->length > header + 8 ? p->data[header + 8] : 0;
    fprintf(journal, "%lld %s %s %llu %u %d\n", (long long)(now / 1000), d->name, what, (unsigned long long)p->number,
            p->length, first);
}

/* --- changes to packets, with their checksums (RFC 1624) ------------------------------------------------------- */

static void correct(uint8_t *checksum, uint16_t old, uint16_t new) {
    uint32_t sum = (uint16_t)~(checksum[0] << 8 | checksum[1]) + (uint16_t)~old + new;
    sum = (sum & 0xffff) + (sum >> 16);
    sum = ~((sum & 0xffff) + (sum >> 16));
    checksum[0] = sum >> 8;
    checksum[1] = sum;
}

static void put16(uint8_t *field, uint16_t value, uint8_t *checksum, uint8_t *other) {
    uint16_t old = field[0] << 8 | field[1];
    field[0] = value >> 8;
    field[1] = value;
    if (checksum) correct(checksum, old, value);
    if (other) correct(other, old, value);
}

static uint8_t *udp_of(struct packet *p) { /* its UDP header, or NULL */
    uint8_t *ip = p->data;
    uint32_t header = ip[0] >> 4 == 4 ? (ip[0] & 15) * 4u : 40;
    int protocol = ip[0] >> 4 == 4 ? ip[9] : ip[6];
    return protocol == IPPROTO_UDP && p->length >= header + 8 ? ip + header : NULL;
}

static void corrupt(struct direction *d, struct packet *p) { /* one bit of a UDP payload, so that it gets through */
    uint8_t *udp = udp_of(p);
    uint32_t payload = udp ? p->length - (uint32_t)(udp - p->data) - 8 : 0;
    if (payload < 2) return;
    uint32_t at = 8 + draw_bits(&d->chance[CORRUPT]) % (payload & ~1u);
    uint16_t bit = 1 << draw_bits(&d->chance[CORRUPT]) % 8 << (at & 1 ? 0 : 8);
    uint8_t *word = udp + (at & ~1u);
    put16(word, (word[0] << 8 | word[1]) ^ bit, udp + 6, NULL);
    d->corrupted++;
}

static void mark(struct direction *d, struct packet *p) { /* CE on what is ECN-capable */
    uint8_t *ip = p->data;
    int v4 = ip[0] >> 4 == 4, shift = v4 ? 0 : 4, field = ip[1] >> shift & 3;
    if (field != 1 && field != 2) return;
    put16(ip, (ip[0] << 8 | ip[1]) | 3 << shift, v4 ? ip + 10 : NULL, NULL);
    d->marked++;
}

static int is_foreign(struct direction *d, struct packet *p) { /* not from the network that side a is in */
    uint8_t *ip = p->data;
    return d->network && ip[ip[0] >> 4 == 4 ? 13 : 11] != d->network;
}

/* A NAT before side a: its UDP comes from another host and port of the network, and only there it is reached. */
static int translate(struct direction *d, struct packet *p) {
    uint8_t *ip = p->data, *udp = udp_of(p);
    if ((!d->nat_host && !d->nat_port) || ip[0] >> 4 != 4 || !udp) return 1;
    uint8_t *host = ip + (d == &ab ? 14 : 18), *port = udp + (d == &ab ? 0 : 2);
    uint16_t low = host[0] << 8 | host[1], number = port[0] << 8 | port[1];
    int sign = d == &ab ? 1 : -1;
    uint16_t new_low = low + sign * (int)d->nat_host, new_number = number + sign * (int)d->nat_port;
    if (d == &ab) inside[number] = 1;
    else if ((new_low & 255) != 1 || !inside[new_number]) return 0;
    put16(host, new_low, ip + 10, udp + 6);
    put16(port, new_number, udp + 6, NULL);
    return 1;
}

/* --- the way of a packet --------------------------------------------------------------------------------------- */

static int sooner(const struct packet *a, const struct packet *b) {
    return a->due < b->due || (a->due == b->due && a->order < b->order);
}

static void fly(struct direction *d, struct packet *p) {
    if (d->flying == d->room) d->heap = grow(d->heap, (d->room = d->room ? 2 * d->room : 1024) * sizeof *d->heap);
    size_t i = d->flying++;
    for (; i && sooner(p, d->heap[(i - 1) / 2]); i = (i - 1) / 2) d->heap[i] = d->heap[(i - 1) / 2];
    d->heap[i] = p;
}

static struct packet *land(struct direction *d) {
    struct packet *first = d->heap[0], *last = d->heap[--d->flying];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < d->flying) {
        if (child + 1 < d->flying && sooner(d->heap[child + 1], d->heap[child])) child++;
        if (!sooner(d->heap[child], last)) break;
        d->heap[i] = d->heap[child];
        i = child;
    }
    d->heap[i] = last;
    return first;
}

static void depart(struct direction *d, struct packet *p, int64_t now) {
    double wait = d->delay;
    int late = d->reorder > 0 && draw(&d->chance[REORDER]) < d->reorder;
    if (d->jitter > 0) wait += (2 * draw(&d->chance[JITTER]) - 1) * d->jitter;
    if (late) wait += d->reorder_delay;
    p->due = now + (int64_t)(fmax(wait, 0) * MILLISECOND);
    p->order = d->order++;
    if (!late && !d->jitter_reorder) { /* jitter alone keeps the order */
        if (p->due < d->last_due) p->due = d->last_due;
        d->last_due = p->due;
    }
    fly(d, p);
}

static int is_lost(struct direction *d) {
    if (d->ge_enter > 0) {
        if (draw(&d->chance[BURST]) < (d->bad ? d->ge_leave : d->ge_enter)) d->bad = !d->bad;
        if (draw(&d->chance[BURST]) < (d->bad ? d->ge_loss : d->ge_loss_good)) return d->lost_burst++, 1;
    }
    int lost = d->loss > 0 && draw(&d->chance[LOSS]) < d->loss && (!d->loss_run || d->run < d->loss_run);
    d->run = lost ? d->run + 1 : 0;
    d->lost_random += lost;
    return lost;
}

static void leave_queue(struct direction *d, struct packet *p, int64_t now) {
    sample(&d->queueing, (now - p->arrived) / MILLISECOND);
    if (is_lost(d)) {
        note(d, "lost", p, now);
        free(p);
        return;
    }
    struct packet *copy = NULL;
    if (d->duplicate > 0 && draw(&d->chance[DUPLICATE]) < d->duplicate) {
        copy = grow(NULL, sizeof *p + p->length);
        memcpy(copy, p, sizeof *p + p->length);
        d->duplicated++;
    }
    if (d->corrupt > 0 && draw(&d->chance[CORRUPT]) < d->corrupt) corrupt(d, p);
    depart(d, p, now);
    if (copy) depart(d, copy, now);
}

/* When a trace lets the head go: bytes of opportunities that come after it arrived, whole ones or what is left. */
static int64_t by_trace(struct direction *d, const struct packet *p) {
    struct trace *t = &d->trace;
    int64_t period = t->times[t->count - 1];
    double need = p->length;
    for (;;) {
        if (d->opportunity == t->count) {
            d->opportunity = 0;
            d->round += period;
            if (p->arrived - d->round > period) d->round += (p->arrived - d->round) / period * period;
        }
        int64_t at = d->round + t->times[d->opportunity];
        if (at >= p->arrived && need <= d->left) {
            d->left -= need;
            return at;
        }
        if (at >= p->arrived) need -= d->left;
        d->opportunity++;
        d->left = OPPORTUNITY;
    }
}

static void serve(struct direction *d, int64_t now) { /* let go whatever leaves the queue by `now` */
    struct packet *p;
    while ((p = d->head)) {
        if (d->departure == NEVER) {
            int64_t start = p->arrived > d->last_departure ? p->arrived : d->last_departure;
            if (d->trace.count) d->departure = by_trace(d, p);
            else d->departure = start + (d->rate > 0 ? (int64_t)(p->length * 8e9 / d->rate) : 0);
        }
        if (d->departure > now) break;
        if (!(d->head = p->next)) d->tail = NULL;
        d->bytes -= p->length;
        d->packets--;
        d->last_departure = d->departure;
        d->departure = NEVER;
        leave_queue(d, p, d->last_departure);
    }
}

void arrive(struct direction *d, struct packet *p, int64_t now) {
    serve(d, now);
    p->arrived = now;
    p->next = NULL;
    p->number = ++d->number;
    d->offered++;
    d->offered_bytes += p->length;
    note(d, "offered", p, now);
    int listed = p->number >= d->drop_first && p->number <= d->drop_last;
    int unfit = (d->mtu && p->length > d->mtu) || (d->no_udp && udp_of(p)) || is_foreign(d, p);
    if (d->blackhole || listed || unfit || !translate(d, p)) {
        d->dropped++;
        note(d, "dropped", p, now);
        free(p);
    } else if ((d->queue_bytes && d->bytes + p->length > d->queue_bytes && d->head) ||
               (d->queue_packets && d->packets >= d->queue_packets)) {
        d->lost_queue++;
        note(d, "full", p, now);
        free(p);
    } else {
        if (d->ecn_threshold && d->bytes > d->ecn_threshold) mark(d, p);
        if (d->tail) d->tail->next = p;
        else d->head = p;
        d->tail = p;
        d->bytes += p->length;
        d->packets++;
        serve(d, now);
    }
}

struct packet *next_due(struct direction *d, int64_t now) {
    serve(d, now);
    if (!d->flying || d->heap[0]->due > now) return NULL;
    struct packet *p = land(d);
    d->delivered++;
    d->delivered_bytes += p->length;
    sample(&d->lateness, (now - p->due) / MILLISECOND);
    note(d, "delivered", p, now);
    return p;
}

int64_t next_event(const struct direction *d) {
    int64_t at = d->flying ? d->heap[0]->due : NEVER;
    if (!d->head) return at;
    /* What leaves the queue need not be looked at before it can arrive. */
    int64_t head = d->departure + (int64_t)(fmax(d->delay - d->jitter, 0) * MILLISECOND);
    return head < at ? head : at;
}

/* --- parameters and figures -------------------------------------------------------------------------------------- */

static const char *read_trace(struct direction *d, const char *path, int64_t now) {
    struct trace t = {0};
    FILE *file = *path ? fopen(path, "r") : NULL;
    if (*path && !file) return "no such trace";
    for (double at; file && fscanf(file, "%lf", &at) == 1;) {
        t.times = grow(t.times, (t.count + 1) * sizeof *t.times);
        t.times[t.count++] = (int64_t)(at * MILLISECOND);
        if (t.count > 1 && t.times[t.count - 1] < t.times[t.count - 2]) return "a trace's times must not go back";
    }
    if (file) fclose(file);
    if (*path && (!t.count || t.times[t.count - 1] <= 0)) return "a trace must have opportunities";
    free(d->trace.times);
    d->trace = t;
    d->round = now;
    d->opportunity = 0;
    d->left = OPPORTUNITY;
    return NULL;
}

const char *set(struct direction *d, char *word, int64_t now) { /* "name=value"; what is wrong with it */
    char *value = strchr(word, '='), *end;
    if (!value) return "name=value is expected";
    *value++ = 0;
    if (!strcmp(word, "trace")) return read_trace(d, value, now);
    double number = strtod(value, &end);
    if (end == value || *end || !(number >= 0)) return "a number from 0 is expected";
    for (size_t i = 0; i < sizeof PARAMETERS / sizeof *PARAMETERS; i++)
        if (!strcmp(word, PARAMETERS[i].name)) {
            *(double *)((char *)d + PARAMETERS[i].at) = number;
            return NULL;
        }
    return "no such parameter";
}

void report(struct direction *d, FILE *file) {
    qsort(d->queueing.values, d->queueing.count, sizeof(float), by_size);
    qsort(d->lateness.values, d->lateness.count, sizeof(float), by_size);
    fprintf(file, "\"%s\": {", d->name);
#define COUNT(name) fprintf(file, "\"" #name "\": %llu, ", (unsigned long long)d->name)
    COUNT(offered), COUNT(offered_bytes), COUNT(delivered), COUNT(delivered_bytes), COUNT(lost_queue);
    COUNT(lost_random), COUNT(lost_burst), COUNT(dropped), COUNT(marked), COUNT(duplicated), COUNT(corrupted);
    fprintf(file, "\"queueing_p50\": %.3f, \"queueing_p95\": %.3f, \"lateness_p50\": %.3f, \"lateness_p99\": %.3f}",
           quantile(&d->queueing, .5), quantile(&d->queueing, .95), quantile(&d->lateness, .5),
           quantile(&d->lateness, .99));
}

void reset(struct direction *d) {
    d->offered = d->offered_bytes = d->delivered = d->delivered_bytes = d->lost_queue = d->lost_random = 0;
    d->lost_burst = d->dropped = d->marked = d->duplicated = d->corrupted = 0;
    d->queueing.count = d->lateness.count = 0;
}

void seed(uint64_t number) {
    for (int i = 0; i < 2; i++)
        for (int j = 0; j < STREAMS; j++) {
            uint64_t state = number * 2654435761u + (uint64_t)(i * STREAMS + j);
            BOTH[i]->chance[j] = draw_bits(&state);
        }
    ab.departure = ba.departure = NEVER;
}

