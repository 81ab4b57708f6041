"""How much memory a stage takes and how much it computes, from the sizes of the model and of its
batches alone: nothing is loaded, and no earlier run is needed.

All memory is counted in bytes for one process, that is one device. Weights, gradients and AdamW's
two moments are float32. The constants below were fitted to the peaks that the benchmark measured at
three sizes (tests/benchmarks/README.md), and these twelve are met within 15 %.
"""

from __future__ import annotations

from dataclasses import dataclass

NUMBER = 4
"""Bytes of a float32 number."""
PROCESS = 430 * 2**20
"""Python, torch and transformers with all that they import, on a CPU."""
KEPT_WIDTHS, READ_WIDTHS = 11, 6
"""Numbers of a token and layer, in widths D, that a training pass keeps for its backward pass and
that a pass without gradient holds at a time; the MLP's inner numbers come on top."""
KEPT_LOGITS = 32 * 2**20
"""Most bytes of logits kept at a time, and as many again while they are made."""
REORDERED_WIDTH = 256
"""Width from which a CPU that samples has a second copy of the matrices, laid out for few rows."""

COPIES = 3
"""Copies of tensors in memory while the file of a checkpoint with them is written, beside the
tensors themselves."""


@dataclass(frozen=True)
class ModelShape:
    """Sizes of a decoder. mlp: width F inside the MLP; gated: the MLP has three matrices (Llama)
    rather than two (GPT-2); positions: learned ones (0: rotary); tied: the unembedding is the
    embedding; adapters: rank of those that are trained instead of the weights (0: none); adapted:
    inputs and outputs of the matrices of a block that have one (None: all of them); bits: of a
    number in the matrices beside adapters."""

    layers: int
    width: int
    heads: int
    key_heads: int
    mlp: int
    vocabulary: int
    positions: int = 0
    gated: bool = True
    tied: bool = True
    head_width: int = 0
    adapters: int = 0
    adapted: tuple[tuple[int, int], ...] | None = None
    bits: int = 32

    @property
    def stored(self) -> float:
        """Bytes of all matrices. In 4 bits, 64 numbers have a constant of 8 bits; embeddings are
        float32."""
        blocks = self.layers * self.block
        number = NUMBER if self.bits == 32 else self.bits / 8 + 1 / 64
        return blocks * number + (self.weights - blocks) * NUMBER

    @property
    def trained_share(self) -> float:
        """Of the weights, what is trained: 1 without adapters; with them, r * (inputs +
        outputs) numbers beside each matrix that has one."""
        if not self.adapters:
            return 1.0
        sides = sum(map(sum, self.adapted or self.projections))
        return self.adapters * self.layers * sides / self.weights

    @property
    def merged(self) -> float:
        """Bytes of the copies, adapters included, that sampling makes of the matrices with
        adapters. None is made of those in 4 bits."""
        if not self.adapters or self.bits != 32:
            return 0.0
        numbers = sum(i * o for i, o in self.adapted or self.projections)
        return float(NUMBER * self.layers * numbers)

    @property
    def projections(self) -> tuple[tuple[int, int], ...]:
        """Inputs and outputs of each matrix of a block: queries, keys, values, output, MLP."""
        queries = (self.head_width or self.width // self.heads) * self.heads
        keys = (self.width, self.key_width)
        inner = [(self.width, self.mlp)] * (2 if self.gated else 1)
        mlp = (*inner, (self.mlp, self.width))
        return (self.width, queries), keys, keys, (queries, self.width), *mlp

    @property
    def last_is_adapted(self) -> bool:
        """Whether the MLP's last matrix has an adapter, where there are some."""
        return self.adapted is None or self.projections[-1] in self.adapted

    @property
    def key_width(self) -> int:
        """Numbers in the keys of a token and layer, G * d."""
        return (self.head_width or self.width // self.heads) * self.key_heads

    @property
    def block(self) -> int:
        """Numbers in the matrices of one block."""
        return sum(inputs * outputs for inputs, outputs in self.projections)

    @property
    def weights(self) -> int:
        """Numbers in all matrices: biases and norms are less than 1 % of them."""
        tables = self.vocabulary * (1 if self.tied else 2) + self.positions
        return self.layers * self.block + tables * self.width


@dataclass(frozen=True)
class Held:
    """What networks there are beside those with weights, gradients and moments of their own.
    averages: averages of a trained network's weights that are kept beside it; idle: of the trained
    networks, those that have no gradient while another is trained; shared: of the frozen ones,
    those on whose weights adapters are trained; borrowed: of the trained ones, those whose adapters
    are on another trained one's weights; compared: frozen policies that judgements during training
    compare with, which stay during updates; best: copies of a trained policy's weights that may be
    the result, in the memory of the host unless weights are divided."""

    averages: int = 0
    idle: int = 0
    shared: int = 0
    borrowed: int = 0
    compared: int = 0
    best: int = 0


@dataclass(frozen=True)
class Load:
    """What a stage does with models of one shape. trained, frozen: networks in memory; held: which
    of them have no weights or gradients of their own, and what else is kept; rows: rows that one
    step trains on, tokens: of each; passes: forward passes of all tokens of a step, a trained one
    counting three; scored: share of the tokens whose logits are needed; sampled: rows that all
    processes sample together; steps: of the stage, 0 if that is not known; batch: rows that a step
    reads, 0: as many as it trains on at a time; leaves: frozen networks leave memory during updates
    where the run asks for that (`runtime.offload`); together: rows that no pass divides; terms:
    passes of gradient terms in a step, whose gradient is there beside the step's own; asks: the
    stage or what is nested in it may ask the reward model, whose networks are then frozen ones more
    that read all tokens once (`preflab.planning.sizing` knows how many); uncounted: what is in none
    of these numbers, in words."""

    trained: int
    rows: int
    tokens: int
    passes: float
    steps: int = 0
    frozen: int = 0
    held: Held = Held()
    scored: float = 1.0
    sampled: int = 0
    batch: int = 0
    leaves: bool = False
    together: int = 1
    terms: tuple[Load, ...] = ()
    asks: bool = False
    uncounted: tuple[str, ...] = ()


@dataclass(frozen=True)
class Placement:
    """Where a stage computes, and what its memory is divided by. micro_batch: rows of one training
    pass; processes: of the job; sharded: each process holds its share of weights, gradients and
    moments, and whole what computes; reshard: a block's weights are let go of between the forward
    and the backward pass; trained_share: of the weights that are trained (adapters: less than 1);
    checkpointing: activations are kept at the borders of blocks alone and computed again; cpu: the
    device is the processor; piece: bytes of tensors in one file of a checkpoint, which is in memory
    `COPIES` times while it is written (0: none is counted); gathers: process 0 gathers what is
    sharded before it writes; decoded: most rows that a process decodes at a time (None: its share
    of them all; 0: an engine elsewhere does); offload: frozen networks leave during updates."""

    micro_batch: int = 64
    processes: int = 1
    sharded: bool = False
    reshard: bool = True
    trained_share: float = 1.0
    checkpointing: bool = False
    cpu: bool = True
    piece: int = 0
    gathers: bool = True
    decoded: int | None = None
    offload: bool = False

    @property
    def divides(self) -> bool:
        """Whether weights are divided: one process has nobody to divide them with."""
        return self.sharded and self.processes > 1


@dataclass(frozen=True)
class Memory:
    """Bytes in one process, part by part. process: the program itself (0 on a GPU); trained:
    weights of the trained networks, of their averages and of the best so far; frozen: those of the
    others; block: what is gathered at a time where networks are sharded; activations: of one
    training or judging pass, logits included; cache: keys and values while sampling; sampler:
    copies of the policy that sampling makes; checkpoint: what is held while one is written (0 on a
    GPU: that is memory of the host); leaving: of the frozen weights, those that leave during
    updates; judging: of the activations, those of a judging pass; kept: whether a CPU keeps what
    sampling freed; returned: whether it gives freed memory back at once."""

    process: float
    trained: float
    gradients: float
    moments: float
    frozen: float
    block: float
    activations: float
    cache: float
    sampler: float
    checkpoint: float = 0.0
    leaving: float = 0.0
    judging: float = 0.0
    kept: bool = False
    returned: bool = False

    @property
    def total(self) -> float:
        """The peak. Where a CPU keeps freed memory for the next tensors of that size, the cache and
        the activations both count, and gradients and moments take the place of the copies to sample
        with, which activations do not. Moments stay from the first update on; a copy of the policy
        is gone when gradients are made, and gradients and activations are when a checkpoint is
        written."""
        copies, cache = self.sampler if self.kept else 0, 0 if self.returned else self.cache
        stays = self.process + self.trained + self.frozen - self.leaving + cache
        trained = max(copies, self.gradients + self.moments)
        update = trained + self.block + self.activations
        judging = self.leaving + max(copies, self.moments) + self.block + self.judging
        sampling = self.sampler + self.cache - cache + max(self.moments, self.leaving)
        return stays + max(update, judging, sampling, self.moments + self.checkpoint)


def memory(shape: ModelShape, load: Load, placement: Placement) -> Memory:
    """The parts of the peak of a stage."""
    sharded = placement.divides
    shards = placement.processes if sharded else 1
    network = shape.stored
    returned = placement.cpu and (sharded or bool(shape.adapters))
    frozen = (load.frozen - load.held.shared) * network / shards
    compared = load.held.compared * network / shards
    trained = (load.trained - load.held.borrowed + load.held.averages) * network / shards
    trained += _best(load, placement) * network
    learning = NUMBER * shape.weights / shards * placement.trained_share
    gradients = load.trained - load.held.idle + bool(load.terms)
    share = -(-load.sampled // placement.processes)
    decoded = share if placement.decoded is None else min(share, placement.decoded)
    read = READ_WIDTHS * shape.width + 2 * shape.mlp
    judged = min(share, placement.micro_batch) * load.tokens * read * NUMBER
    passes = (load, *load.terms) if load.trained else ()
    training = max((_kept_of_a_pass(shape, each, placement) for each in passes), default=0)
    # To sample, a process gathers the whole policy; one that is whole is reordered for few rows, a
    # copy with adapters in it beside the copy that is reordered.
    reordered = placement.cpu and shape.width >= REORDERED_WIDTH
    copies = int(reordered) + int(sharded)
    sampler = copies * network + (shape.merged if load.trained else 0) if decoded else 0
    return Memory(
        process=PROCESS if placement.cpu else 0,
        trained=trained,
        gradients=gradients * learning if load.trained else 0,
        moments=2 * load.trained * learning,
        frozen=frozen + compared,
        block=_gathered(shape, placement.reshard) if sharded else 0,
        activations=max(training, judged),
        cache=2 * NUMBER * shape.layers * shape.key_width * decoded * load.tokens,
        sampler=sampler,
        checkpoint=_while_written(shape, load, placement) if placement.cpu else 0,
        leaving=frozen if load.leaves and placement.offload else 0,
        judging=judged,
        kept=placement.cpu and not returned,
        returned=returned,
    )


def _best(load: Load, placement: Placement) -> float:
    """Networks in this memory of copies that may be the result. An average's is whole."""
    if placement.divides and not load.held.averages:
        return load.held.best / placement.processes
    return load.held.best if placement.cpu else 0


def _kept_of_a_pass(shape: ModelShape, load: Load, placement: Placement) -> float:
    """Bytes of what a training pass keeps for its backward pass, and of the logits at a time."""
    rows = -(-load.rows // placement.processes)
    together = min(load.together, load.rows)
    tokens = max(min(rows, placement.micro_batch), together) * load.tokens
    # What the last matrix of the MLP reads is kept on a GPU, and for that matrix's adapter.
    keeps = not placement.cpu or (shape.adapters and shape.last_is_adapted)
    inner = shape.mlp * (2 if shape.gated else 1) + (shape.mlp if keeps else 0)
    kept = KEPT_WIDTHS * shape.width + inner
    layers = shape.layers * (shape.width if placement.checkpointing else kept)
    layers += kept if placement.checkpointing else 0
    logits = min(NUMBER * tokens * load.scored * shape.vocabulary, KEPT_LOGITS)
    return NUMBER * tokens * layers + 2 * logits


def _gathered(shape: ModelShape, reshard: bool) -> float:
    """Bytes that are whole in a process where one network's weights are sharded, gradients
    included. The root (embedding and head) is whole while every block computes, and when the
    backward pass begins; networks are trained one after the other."""
    root = shape.weights - shape.layers * shape.block
    if reshard:
        return 2 * NUMBER * (shape.block + root)
    return NUMBER * (shape.weights + max(shape.block, root))


def checkpoint_size(shape: ModelShape, load: Load, trained_share: float = 1.0) -> float:
    """Bytes of a checkpoint: the weights of the trained networks (beside adapters without those in
    4 bits), of their averages and of the best so far, and two moments of what is trained."""
    kept = 1.0 if shape.bits == 32 else trained_share
    copies = load.held.averages + load.held.best
    numbers = load.trained * (kept + 2 * trained_share) + copies * kept
    return NUMBER * shape.weights * numbers


def _while_written(shape: ModelShape, load: Load, placement: Placement) -> float:
    """Bytes that process 0 holds, beside the networks, while it writes a checkpoint."""
    if not placement.piece:
        return 0
    state = checkpoint_size(shape, load, placement.trained_share)
    largest = NUMBER * shape.width * max(shape.vocabulary, shape.mlp)
    gathered = state if placement.divides and placement.gathers else 0
    return gathered + COPIES * min(state, max(placement.piece, largest))


def operations(shape: ModelShape, load: Load) -> float:
    """Floating-point operations of one step over all processes: 2 for each number of a matrix and
    token that it is multiplied with, and 4 D a layer for each token that a token attends to."""
    tokens = (load.batch or load.rows) * load.tokens
    attention = 2 * shape.layers * shape.width * load.tokens
    unembedding = 2 * shape.width * shape.vocabulary * load.scored
    own = load.passes * tokens * (2 * shape.layers * shape.block + attention + unembedding)
    return own + sum(operations(shape, term) for term in load.terms)
