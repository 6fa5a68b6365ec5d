/* One direction of a link: what becomes of a packet, and when. No sockets and no clock, so that virtual time will do.
 *
 * A pipeline: black hole, drop list, firewall, largest packet, NAT; a drop-tail queue that marks CE above a threshold, served at a rate or by a
 * trace of opportunities; loss; duplication; corruption; delay. Loss comes after the queue: a packet that is lost has
 * used the link, as on radio.
 */
#ifndef MODEL_H
#define MODEL_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define NEVER INT64_MAX
#define MILLISECOND 1000000.0 /* in nanoseconds, as all times here */

enum { LOSS, BURST, JITTER, REORDER, DUPLICATE, CORRUPT, STREAMS }; /* of chance: one does not move the others */

struct packet {
    struct packet *next;
    int64_t arrived, due;
    uint64_t order; /* of leaving the queue */
    uint64_t number;
    uint32_t length;
    uint8_t data[];
};

struct samples {
    float *values;
    size_t count, room;
};

struct trace {
    int64_t *times;
    size_t count;
};

struct direction {
    const char *name;
    /* parameters, see PARAMETERS */
    double delay, jitter, jitter_reorder, rate, queue_bytes, queue_packets, ecn_threshold, loss, loss_run;
    double ge_enter, ge_leave, ge_loss, ge_loss_good, reorder, reorder_delay, duplicate, corrupt;
    double blackhole, no_udp, mtu, network, drop_first, drop_last, nat_host, nat_port;
    struct trace trace;
    /* the queue; `departure` is when its head leaves, once that is known */
    struct packet *head, *tail;
    double bytes, packets;
    int64_t departure, last_departure;
    /* the trace: which opportunity, in the round that began when, with how many bytes left */
    size_t opportunity;
    int64_t round;
    double left;
    /* packets under way, a heap by (due, order) */
    struct packet **heap;
    size_t flying, room;
    int64_t last_due;
    uint64_t order;
    uint64_t chance[STREAMS];
    int bad, run;
    int in, out;
    /* counts since the last reset; `number` is never reset */
    uint64_t number, offered, offered_bytes, delivered, delivered_bytes, lost_queue, lost_random, lost_burst, dropped;
    uint64_t marked, duplicated, corrupted;
    struct samples queueing, lateness; /* milliseconds */
};


extern struct direction ab, ba;
extern struct direction *const BOTH[2];
extern FILE *journal; /* gets a line for each thing that happens to a packet */

void die(const char *format, ...) __attribute__((noreturn));
void *grow(void *old, size_t bytes);
void seed(uint64_t number);

/* Change what "name=value" says; what is wrong with it, or NULL. */
const char *set(struct direction *d, char *word, int64_t now);

/* `p`, whose data and length are set, enters the queue, or is dropped. */
void arrive(struct direction *d, struct packet *p, int64_t now);

/* The next packet that is due by `now`, or NULL; it is the caller's. */
struct packet *next_due(struct direction *d, int64_t now);

/* When something happens next. */
int64_t next_event(const struct direction *d);

void reset(struct direction *d);
void report(struct direction *d, FILE *file);

#endif
