"""What the replicas of a model tell each other in a step, beside their gradients."""

from __future__ import annotations

from typing import NamedTuple

import tensorflow as tf

__all__ = ["Ballot", "Totals", "over_replicas", "share_of_loss"]


class Ballot:
    """A vote that workers cast between steps, and that a step counts, on all of them alike.

    Attributes:
        vote: of this worker, 0 or 1.
        votes: how many there were in the last step.
    """

    def __init__(self):
        with tf.device("CPU:0"):
            self.vote = tf.Variable(0.0, trainable=False)
            self.votes = tf.Variable(0.0, trainable=False)


class Totals(NamedTuple):
    """Figures of a whole batch, each replica's part included.

    Attributes:
        loss: mean over its examples.
        nats: nats/dim, mean over its examples.
        count: how many examples, or the sum of their weights.
        bad: number of the first replica that isn't good, -1 if there is none.
        stops: whether this replica has to stop the step: the bad one, and those of other processes.
    """

    loss: tf.Tensor
    nats: tf.Tensor
    count: tf.Tensor
    bad: tf.Tensor
    stops: tf.Tensor


def over_replicas(
    loss: tf.Tensor,
    nats: tf.Tensor,
    count: tf.Tensor,
    good: tf.Tensor | bool = True,
    ballot: Ballot | None = None,
) -> Totals:
    """The figures of a batch, on each replica.

        loss = sum_r n_r loss_r / sum_r n_r, and nats alike

    where loss_r is the mean over a replica's part of the batch and n_r, `count`, the number of
    examples in it, which may be 0, or the sum of their weights. `good` says whether this replica
    can go on with them; the votes of a ballot are counted in the same message.
    """
    replica = tf.distribute.get_replica_context()
    replicas = replica.num_replicas_in_sync
    is_bad = tf.logical_not(good)
    if replicas == 1:
        return Totals(loss, nats, count, tf.where(is_bad, 0, -1), is_bad)
    weight = tf.cast(count, loss.dtype)
    vote = tf.zeros_like(loss) if ballot is None else tf.cast(ballot.vote, loss.dtype)
    bad = tf.one_hot(replica.replica_id_in_sync_group, replicas, tf.cast(is_bad, loss.dtype), 0.0)
    # In one message: its time is that of the way, not of its length.
    figures = tf.concat([[loss * weight, nats * weight, weight, vote], bad], 0)
    figures = replica.all_reduce("SUM", figures)
    loss, nats, weight, votes = tf.unstack(figures[:4])
    if ballot is not None:
        ballot.votes.assign(tf.cast(votes, ballot.votes.dtype))
    is_any, first = tf.reduce_any(figures[4:] > 0), tf.argmax(figures[4:], output_type=tf.int32)
    own, here = replica.replica_id_in_sync_group, len(replica.strategy.extended.worker_devices)
    stops = is_any & ((first == own) | (first // here != own // here))
    # A batch whose weights are all 0 has no mean, and counts for nothing.
    loss, nats = tf.math.divide_no_nan(loss, weight), tf.math.divide_no_nan(nats, weight)
    return Totals(loss, nats, weight, tf.where(is_any, first, -1), stops)


def share_of_loss(loss: tf.Tensor, nats: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
    """This replica's share of the loss of a batch; the shares of all replicas add up to it.

    `loss` is `nats` plus what doesn't depend on the data. An integer `count` is the same on each
    replica; a float is the sum of the weights of its examples.
    """
    replica = tf.distribute.get_replica_context()
    replicas = replica.num_replicas_in_sync
    if replicas == 1 or count.dtype.is_integer:
        return loss / replicas
    part = tf.math.divide_no_nan(count, replica.all_reduce("SUM", count))
    return part * nats + (loss - nats) / replicas
