"""A step over memory that is laid out once is a step of the networks."""

import pytest
import torch

from modules.agents.rnn_agent import RNNAgent
from modules.agents.stepping import Stepping
from modules.sharing import Grouped


def networks(groups, *, use_rnn=True):
    return Grouped(lambda agents: RNNAgent(9, 5, hidden_dim=16, use_rnn=use_rnn), groups)


@pytest.mark.parametrize("use_rnn", [True, False])
def test_steps_are_those_of_the_networks(use_rnn):
    """Also once a slot's history is forgotten and the weights have moved."""
    agents = networks([[0, 1, 2]], use_rnn=use_rnn)
    inputs, hidden = torch.zeros(4, 3, 9), torch.zeros(4, 3, 16)
    step, memory = Stepping.of(agents, inputs, hidden), hidden.clone()
    with torch.inference_mode():
        for k in range(4):
            inputs.copy_(torch.randn(4, 3, 9))
            expected, memory = agents.step(inputs, memory)
            torch.testing.assert_close(step(), expected)
            torch.testing.assert_close(hidden, memory)
            if k == 1:
                hidden[2] = memory[2] = 0
            if k == 2:
                agents.load_state_dict(networks([[0, 1, 2]], use_rnn=use_rnn).state_dict())


@pytest.mark.parametrize(
    "agents",
    [networks([[0, 2], [1]]), networks([[0, 1, 2]]).double(), torch.nn.Linear(9, 5)],
    ids=["groups", "doubles", "others"],
)
def test_other_networks_step_themselves(agents):
    assert Stepping.of(agents, torch.zeros(4, 3, 9), torch.zeros(4, 3, 16)) is None
