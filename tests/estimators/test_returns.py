"""Returns against hand-computed numbers, slow loops and the identities that connect them."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from estimators.returns import continues_from_mask, gae, lambda_returns, n_step_returns, residuals, tree_backup

GAMMA = 0.9


def episodes(seed, n_steps=6, n_episodes=5, trailing=(2,)):
    """Random episodes of all kinds: full and short, terminated and truncated; padding holds rubbish."""
    g = torch.Generator().manual_seed(seed)
    length = torch.randint(1, n_steps + 1, (n_episodes,), generator=g)
    ends = torch.rand(n_episodes, generator=g) < 0.5
    steps = torch.arange(n_steps)
    mask = steps < length[:, None]
    terminated = (steps == length[:, None] - 1) & ends[:, None]
    rewards = torch.randn(n_episodes, n_steps, *trailing, generator=g, dtype=torch.float64)
    values = torch.randn(n_episodes, n_steps + 1, *trailing, generator=g, dtype=torch.float64)
    ones = (1,) * len(trailing)
    kwargs = {
        "rewards": rewards,
        "discounts": (GAMMA * (~terminated).double()).view(n_episodes, n_steps, *ones),
        "values": values,
        "continues": continues_from_mask(mask).double().view(n_episodes, n_steps, *ones),
    }
    return kwargs, length.tolist(), ends.tolist(), mask


def slow_n_step(rewards, values, length, ends, t, n):
    """Sum of n discounted rewards, then the value, unless the episode ended before."""
    total, last = 0.0, min(t + n, length)
    for k in range(t, last):
        total = total + GAMMA ** (k - t) * rewards[k]
    if last == length and ends:
        return total
    return total + GAMMA ** (last - t) * values[last]


def slow_lambda(rewards, values, length, ends, t, lam):
    """(1 - lam) sum_n lam^(n-1) G^(n), the rest of the weight on the full return (Sutton and Barto, eq. 12.3)."""
    longest = length - t
    total = lam ** (longest - 1) * slow_n_step(rewards, values, length, ends, t, longest)
    for n in range(1, longest):
        total = total + (1 - lam) * lam ** (n - 1) * slow_n_step(rewards, values, length, ends, t, n)
    return total


@pytest.mark.parametrize("function", ["lambda", "n_step", "gae"])
@pytest.mark.parametrize(("terminated", "expected"), [(True, [1.9, 1.0]), (False, [82.9, 91.0])])
@pytest.mark.parametrize("padding", [0, 3])
def test_two_rewards_by_hand(function, terminated, expected, padding):
    """r = (1, 1), gamma = .9, a critic that says 100 everywhere; what stands in the padding has no influence."""
    rewards = torch.tensor([[1.0, 1.0] + [1e6] * padding])
    values = torch.tensor([[100.0] * 3 + [-1e6] * padding])
    mask = torch.tensor([[True, True] + [False] * padding])
    ends = torch.tensor([[False, terminated] + [False] * padding])
    common = {
        "rewards": rewards,
        "discounts": 0.9 * (~ends).float(),
        "values": values,
        "continues": continues_from_mask(mask),
    }
    if function == "lambda":
        got = lambda_returns(lam=1.0, **common)
    elif function == "n_step":
        got = n_step_returns(n=10, **common)
    else:
        got = gae(lam=1.0, **common) + values[:, :-1]
    torch.testing.assert_close(got[0, :2], torch.tensor(expected))


def test_continues_is_the_mask_of_the_next_step():
    mask = torch.tensor([[True, True, False], [True, True, True], [True, False, False]])
    assert continues_from_mask(mask).tolist() == [[1, 0, 0], [1, 1, 0], [0, 0, 0]]


@pytest.mark.parametrize("lam", [0.0, 0.3, 0.8, 1.0])
@pytest.mark.parametrize("seed", range(4))
def test_lambda_returns_equal_the_weighted_sum_of_n_step_returns(lam, seed):
    kwargs, lengths, ends, _ = episodes(seed)
    got = lambda_returns(lam=lam, **kwargs)
    for b, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        for t in range(length):
            slow = slow_lambda(kwargs["rewards"][b], kwargs["values"][b], length, end, t, lam)
            torch.testing.assert_close(got[b, t], slow)


@pytest.mark.parametrize("n", [1, 2, 3, 5, 6, 50])
@pytest.mark.parametrize("seed", range(4))
def test_n_step_returns_equal_a_slow_loop(n, seed):
    kwargs, lengths, ends, _ = episodes(seed)
    got = n_step_returns(n=n, **kwargs)
    for b, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        for t in range(length):
            slow = slow_n_step(kwargs["rewards"][b], kwargs["values"][b], length, end, t, n)
            torch.testing.assert_close(got[b, t], slow)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**31), lam=st.floats(0, 1), trailing=st.sampled_from([(), (1,), (3, 2)]))
def test_identities(seed, lam, trailing):
    kwargs, *_, mask = episodes(seed, trailing=trailing)
    values = kwargs["values"]
    one_step = kwargs["rewards"] + kwargs["discounts"] * values[:, 1:]
    long = n_step_returns(n=values.shape[1], **kwargs)
    torch.testing.assert_close(lambda_returns(lam=0.0, **kwargs), one_step)
    torch.testing.assert_close(n_step_returns(n=1, **kwargs), one_step)
    torch.testing.assert_close(lambda_returns(lam=1.0, **kwargs)[mask], long[mask])
    torch.testing.assert_close(gae(lam=lam, **kwargs) + values[:, :-1], lambda_returns(lam=lam, **kwargs))


def test_a_value_that_is_right_is_a_fixed_point():
    """For values that satisfy v_t = r_t + gamma v_{t+1}, all targets are the values and all advantages zero."""
    values = torch.tensor([[3.0, 2.0, -1.0, 4.0]], dtype=torch.float64)
    rewards = values[:, :-1] - GAMMA * values[:, 1:]
    discounts = torch.full_like(rewards, GAMMA)
    continues = continues_from_mask(torch.ones(1, 3, dtype=torch.bool)).double()
    common = {"rewards": rewards, "discounts": discounts, "values": values, "continues": continues}
    torch.testing.assert_close(lambda_returns(lam=0.7, **common), values[:, :-1])
    torch.testing.assert_close(n_step_returns(n=2, **common), values[:, :-1])
    torch.testing.assert_close(gae(lam=0.7, **common), torch.zeros_like(rewards))


def test_wrong_shapes_and_n_are_refused():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="values must be"):
        lambda_returns(rewards=x, discounts=x, values=x, lam=0.5, continues=x)
    with pytest.raises(ValueError, match="discounts must begin"):
        gae(rewards=x, discounts=torch.zeros(2, 4), values=torch.zeros(2, 4), lam=0.5, continues=x)
    with pytest.raises(ValueError, match="at least 1"):
        n_step_returns(rewards=x, discounts=x, values=torch.zeros(2, 4), n=0, continues=x)


# -- tree backup -----------------------------------------------------------------------------------------------------


def backed(seed, *, trailing=(2,), certain=False):
    """Arguments of tree_backup in random episodes; ``certain``: policies that agree with what was done."""
    kwargs, length, ends, mask = episodes(seed, trailing=trailing)
    g = torch.Generator().manual_seed(seed + 1)
    kwargs["expected"], shape = kwargs.pop("values"), kwargs["rewards"].shape
    taken, probs = (torch.rand(shape, generator=g, dtype=torch.float64) for _ in range(2))
    return kwargs | {"taken": taken, "probs": torch.ones_like(probs) if certain else probs}, length, ends, mask


def slow_tree(x, b, t, length, ends, n, lam):
    """The sum of the definition, step by step."""
    total, weight = x["taken"][b, t].clone(), 1.0
    for step in range(t, min(t + n, length)):
        if step > t:
            weight = weight * GAMMA * lam * x["probs"][b, step]
        follows = 0.0 if ends and step == length - 1 else GAMMA * x["expected"][b, step + 1]
        total = total + weight * (x["rewards"][b, step] + follows - x["taken"][b, step])
    return total


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**31),
    lam=st.floats(0, 1),
    n=st.integers(1, 8),
    trailing=st.sampled_from([(), (1,), (3, 2)]),
)
def test_tree_backup_equals_a_slow_loop(seed, lam, n, trailing):
    kwargs, lengths, ends, _ = backed(seed, trailing=trailing)
    got = tree_backup(lam=lam, n=n, **kwargs)
    for b, (length, end) in enumerate(zip(lengths, ends, strict=True)):
        for t in range(length):
            torch.testing.assert_close(got[b, t], slow_tree(kwargs, b, t, length, end, n, lam))


@pytest.mark.parametrize(("terminated", "y"), [(True, [1.9225, 2.0]), (False, [2.03185, 2.54])])
@pytest.mark.parametrize("padding", [0, 3])
@pytest.mark.parametrize("n", [2, 5])
def test_tree_backup_by_hand(terminated, y, padding, n):
    """r = (1, 2), gamma = lambda = .9, Q = (.5, 1), E Q = .8 before and .6 behind the last step, pi(u_1) = .25."""
    rubbish = [1e6] * padding
    mask = torch.tensor([[True, True] + [False] * padding])
    ends = torch.tensor([[False, terminated] + [False] * padding])
    got = tree_backup(
        rewards=torch.tensor([[1.0, 2.0, *rubbish]]),
        discounts=0.9 * (~ends).float(),
        taken=torch.tensor([[0.5, 1.0, *rubbish]]),
        expected=torch.tensor([[-1e6, 0.8, 0.6, *rubbish]]),
        probs=torch.tensor([[1e6, 0.25, *rubbish]]),
        lam=0.9,
        n=n,
        continues=continues_from_mask(mask),
    )
    torch.testing.assert_close(got[0, :2], torch.tensor(y))


@pytest.mark.parametrize("seed", range(4))
def test_tree_backup_of_a_policy_that_did_what_was_done_is_what_followed(seed):
    """Certain policies value a state as their action: with lambda 1 to the end, returns; one step where pi(u) is 0."""
    kwargs, *_, mask = backed(seed, certain=True)
    kwargs["taken"] = kwargs["expected"][:, :-1]
    rest = {key: kwargs[key] for key in ("rewards", "discounts", "continues")}
    got = tree_backup(lam=1.0, n=6, **kwargs)
    torch.testing.assert_close(got[mask], lambda_returns(lam=1.0, values=kwargs["expected"], **rest)[mask])
    one_step = kwargs["rewards"] + kwargs["discounts"] * kwargs["expected"][:, 1:]
    kwargs["probs"] = torch.zeros_like(kwargs["probs"])
    torch.testing.assert_close(tree_backup(lam=1.0, n=6, **kwargs), one_step)
    torch.testing.assert_close(tree_backup(lam=0.5, n=1, **backed(seed)[0] | {"taken": kwargs["taken"]}), one_step)


def test_tree_backup_with_weights_of_one_is_the_critic_and_its_residual():
    """Where nothing discounts what was done but lambda: doubly robust evaluation on-policy (Jiang and Li 2016)."""
    kwargs, *_, mask = backed(3, certain=True)
    residual = {key: kwargs[key] for key in ("rewards", "discounts", "taken", "continues")}
    expected = kwargs["taken"] + residuals(values=kwargs["expected"], lam=0.7, **residual)
    torch.testing.assert_close(tree_backup(lam=0.7, n=9, **kwargs)[mask], expected[mask])


def test_tree_backup_of_no_steps_is_refused():
    x = torch.zeros(2, 3)
    with pytest.raises(ValueError, match="at least 1"):
        tree_backup(rewards=x, discounts=x, taken=x, expected=torch.zeros(2, 4), probs=x, lam=0.5, n=0, continues=x)
