"""The table of tensors read in both directions, and what is refused. Needs no PyTorch."""

import types

import numpy as np
import pytest

from tfp_cinn import CINN, UsageError, architectures, data
from tfp_cinn.bijectors import (
    AdditiveCoupling,
    AffineCoupling,
    Chain,
    FactorOut,
    Flatten,
    GlowCoupling,
    HaarDownsampling,
    RandomPermutation,
    SoftPermutation,
    Squeeze,
    Standardize,
)
from tfp_cinn.interop import export_freia, import_freia
from tfp_cinn.networks import MLP, ConvNet


def digits(shape=(28, 28, 1)):
    split = data.Split(np.zeros((1, *shape), np.uint8), np.zeros(1, np.int32))
    return data.LabeledImages("digits", split, split, split, 10, 256)


def pairs(image_shape, cond_shape):
    return types.SimpleNamespace(image_shape=image_shape, cond_shape=cond_shape)


# As many blocks as published, but narrow, and the last one for smaller images.
NETWORKS = {
    "mnist_minimal": lambda: architectures.dense_glow(
        digits(), hidden=(5,), mean=0.0, std=1.0
    ),
    "mnist_paper": lambda: architectures.dense_glow(
        digits(), blocks=24, hidden=(3, 4, 5), clamp=1.5, mean=0.0, std=1.0
    ),
    "color_mnist": lambda: architectures.color_mnist(
        pairs((28, 28, 3), (28, 28, 1)), dense_hidden=(3, 4), cond_hidden=(3, 4)
    ),
    "lsun_minimal": lambda: architectures.colorization_minimal(
        pairs((64, 64, 2), (64, 64, 1)), widths=(3, 4, 5, 6), levels=((4, 4), (5, 5), (5,)),
        vector=7,
    ),
    "imagenet": lambda: architectures.colorization_imagenet(
        pairs((16, 16, 2), (64, 64, 1)), widths=(4, 5, 6, 7), mixing_widths=(4, 5, 6, 7),
        dense_hidden=(3, 4, 5), dense_strided=(3, 3, 3, 4), strided=(3, 3, 3), backbone_width=2,
    ),
}  # fmt: skip


def randomize(model, seed=0):
    """Weights of all kinds, but for rotations, which stay what they are."""
    rng = np.random.RandomState(seed)
    for weight in model.weights:
        if weight.name != "q" and np.issubdtype(np.dtype(weight.dtype), np.floating):
            weight.assign(0.1 + np.abs(rng.randn(*weight.shape)))
    return model


# Names in files that the published code wrote, run with its own FrEIA (docs/freia.md), of tensors
# whose shape doesn't depend on the width.
PUBLISHED = {
    "mnist_minimal": (160, {
        "cinn.module_list.3.s1.2.bias": (784,), "cinn.module_list.31.s1.2.bias": (784,),
        "cinn.module_list.41.s2.2.bias": (784,),
    }),
    "mnist_paper": (384, {
        "module_list.3.s1.fc3.bias": (784,), "module_list.27.s2.fc3.bias": (784,),
        "module_list.49.s2.fc3.bias": (784,), "module_list.33.s2.fc2b.bias": (5,),
    }),
    "color_mnist": (134, {
        "module_list.2.s1.conv1.bias": (64,), "module_list.4.s1.conv3.weight": (4, 194, 1, 1),
        "module_list.6.s2.conv3.weight": (2, 195, 1, 1),
        "module_list.6.s2.conv1.weight": (64, 67, 1, 1), "module_list.13.s1.fc3.bias": (2352,),
        "module_list.21.s2.fc3.bias": (2352,), "cond.conv.0.weight": (32, 1, 3, 3),
        "cond.conv.3.weight": (64, 64, 3, 3), "cond.conv.4.weight": (64, 64, 3, 3),
        "cond.linear.5.bias": (64,),
    }),
    "lsun_minimal": (126, {
        "cinn.module_list.2.s2.2.bias": (2,), "cinn.module_list.6.s2.2.bias": (8,),
        "cinn.module_list.16.s2.2.bias": (8,), "cinn.module_list.26.s2.2.bias": (1024,),
        "cinn.module_list.30.s1.2.bias": (1024,),
        "cond_net.resolution_levels.3.3.weight": (7, 80),
    }),
    # Of 901, four are of the backbone's classifier.
    "imagenet": (897, {
        "module.inn.module_list.4.M": (2, 2, 1, 1), "module.inn.module_list.17.logDetM": (),
        "module.inn.module_list.54.subnet.7.running_var": (7,),
        "module.inn.module_list.42.s1.conv3.bias": (16,),
        "module.inn.module_list.90.s2.fc3.bias": (32,),
        "module.feature_network.bw_conv1_1.bias": (2,),
        "module.fc_cond_network.8.num_batches_tracked": (),
    }),
}  # fmt: skip


# The deepest takes as long as the others together.
@pytest.mark.parametrize(
    "name",
    [pytest.param(n, marks=pytest.mark.long) if n == "imagenet" else n for n in NETWORKS],
)
def test_names_numbers_and_shapes_are_those_of_the_published_files(name):
    exported = export_freia(NETWORKS[name]())
    count, some = PUBLISHED[name]
    assert len(exported) == count
    assert {name: exported[name].shape for name in some} == some


def small():
    flow = [
        HaarDownsampling(), SoftPermutation(3), FactorOut(2, Chain([
            Flatten(channels_first=True), RandomPermutation(5), GlowCoupling(MLP([3]), clamp=1.0),
        ])),
    ]  # fmt: skip
    return CINN(Chain(flow), (2, 6, 1))


@pytest.fixture
def model():
    return randomize(small(), seed=1)


@pytest.fixture
def tensors():
    """Of another model of that kind."""
    return export_freia(randomize(small(), seed=2), "pypi")


@pytest.mark.parametrize("names", ["paper", "pypi"])
def test_there_and_back_no_bit_is_lost(model, names):
    weights, exported = model.get_weights(), export_freia(model, names)
    randomize(model, seed=3)
    import_freia(model, exported)
    for before, after in zip(weights, model.get_weights(), strict=True):
        np.testing.assert_array_equal(before, after)


SUBNET = "cinn.module_list.5.subnet1.2"


@pytest.mark.parametrize("prefix", ["", "net.module.inn."])
def test_any_prefix_is_found(model, tensors, prefix):
    renamed = {prefix + name.removeprefix("cinn."): t for name, t in tensors.items()}
    import_freia(model, renamed)
    found = export_freia(model, renamed)
    assert list(found) == list(renamed)
    for name, tensor in renamed.items():
        np.testing.assert_array_equal(found[name], tensor)


def test_what_freia_leaves_to_chance_is_found_out(model, tensors):
    """The last node's number among those that left early, in FrEIA since 2021."""
    later = {name.replace("list.5.", "list.6."): t for name, t in tensors.items()}
    assert set(later) != set(tensors)
    import_freia(model, later)
    np.testing.assert_array_equal(
        export_freia(model, later)["cinn.module_list.6.subnet1.2.bias"], tensors[f"{SUBNET}.bias"]
    )


def test_what_is_no_weight_may_be_missing_or_stand_beside(model, tensors):
    kept = {
        name: tensor
        for name, tensor in tensors.items()
        if name.split(".")[-1] not in ("perm", "perm_inv", "M_inv", "logDetM", "haar_weights")
    }
    assert len(tensors) - len(kept) == 5
    import_freia(model, kept | {"cinn.tmp_var_3": np.zeros((7, 2, 6, 1), np.float32)})
    np.testing.assert_array_equal(
        export_freia(model, "pypi")[f"{SUBNET}.bias"], tensors[f"{SUBNET}.bias"]
    )


def changed(name, change):
    def wrong(tensors):
        tensors[name] = change(tensors[name])

    return wrong


def without(*names):
    def wrong(tensors):
        for name in names:
            del tensors[name]

    return wrong


def everything(tensors):
    without(f"{SUBNET}.bias", "cinn.module_list.1.M")(tensors)
    for n in range(7):
        tensors[f"cinn.module_list.5.subnet3.{n}.bias"] = np.zeros(3, np.float32)
    changed(f"{SUBNET}.weight", np.transpose)(tensors)
    changed("cinn.module_list.4.perm", lambda t: t[::-1])(tensors)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (everything,
         rf"expected the 14 .* got 19: missing 2 \(cinn.module_list.1.M, {SUBNET}.bias\); extra 7 "
         r"\(.*subnet3.0.bias, .*, .*, .*, .*subnet3.4.bias, and 2 more\); misshapen 1 "
         r"\(.*\); unsuitable 1 \(cinn.module_list.4.perm is another permutation than that of "
         r"seed 5\); give the file"),
        (changed(f"{SUBNET}.bias", lambda t: t.astype(np.int64)),
         r"subnet1.2.bias is of dtype int64, not floating point\)"),
        (changed(f"{SUBNET}.bias", lambda t: t / 0), "subnet1.2.bias is NaN or infinite"),
        (changed("cinn.module_list.1.M", lambda t: t + 0.1), r"M is not orthogonal \(by"),
        (changed("cinn.module_list.0.haar_weights", np.negative), "not the Haar wavelets"),
        (lambda t: (t.clear(), t.update(a=np.zeros(3), b=np.zeros(3))),
         r"none of 2 tensors \(a, b\) has a name .*, such as cinn.module_list.1.haar_weights;"),
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore:divide by zero")
def test_all_that_is_wrong_is_said_at_once_and_nothing_assigned(model, tensors, wrong, message):
    before = model.get_weights()
    wrong(tensors)
    with pytest.raises(UsageError, match=message) as caught:
        import_freia(model, tensors)
    assert "\n" not in str(caught.value)
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


@pytest.mark.parametrize(
    ("names", "clamp", "clamp_type", "warns"),
    [
        ("paper", 1.5, "arctan", False),
        ("paper", 1.5, "arctan_unscaled", True),
        ("pypi", 1.5, "arctan", True),
        ("pypi", 1.5, "arctan_unscaled", False),
        ("pypi", 1.0, "arctan", False),
    ],
)
def test_a_clamp_of_the_other_generation_is_warned_of(names, clamp, clamp_type, warns, recwarn):
    model = CINN(Chain([GlowCoupling(MLP([3]), clamp, clamp_type)]), (4,))
    import_freia(model, export_freia(model, names))
    messages = [str(w.message) for w in recwarn if "soft clamp" in str(w.message)]
    assert len(messages) == warns
    if warns:
        assert clamp_type in messages[0]


@pytest.mark.parametrize(
    ("flow", "shape", "message"),
    [
        ([AdditiveCoupling(MLP([3]))], (4,), "AdditiveCoupling has no counterpart in FrEIA"),
        ([Flatten()], (2, 2, 3), r"Flatten\(channels_first=True\)"),
        ([Squeeze(3)], (3, 3, 1), "downsampling is by 2 alone"),
        ([Standardize(0.0, 1.0)], (4,), "at least one block"),
        ([AffineCoupling(MLP([3]))], (4,), "two subnets for a one-sided coupling"),
        ([GlowCoupling(lambda n: ConvNet([2])(n), event_ndims=3)], (2, 2, 2), None),
    ],
)
def test_what_freia_lacks_is_named(flow, shape, message):
    model = CINN(Chain(flow), shape)
    if message is None:
        assert len(export_freia(model)) == 8
        return
    with pytest.raises(UsageError, match=message):
        export_freia(model)


def test_an_unknown_generation_is_refused(model):
    with pytest.raises(UsageError, match="names: expected one of paper, pypi, got 'torch'"):
        export_freia(model, "torch")
