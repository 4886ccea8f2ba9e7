"""The gradient audit tells a loss that trains from one that does not, and names the line at fault."""

import ast
import inspect

import librosa
import numpy as np
import pytest
import torch
from torch import nn

from singlib.spectra import CQT, MFC, SpectralLoss, gradients
from singlib.spectra.gradients import gradient_report


@pytest.fixture
def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 16_384))


INPUTS = torch.ones(1, 4)


def test_a_loss_that_trains(model):
    report = gradient_report(lambda: SpectralLoss(CQT())(model(INPUTS), torch.zeros(1, 16_384)), model)
    assert not report.lost and not report.not_finite and "all 4 parameters get a gradient" in str(report)
    model(INPUTS)
    SpectralLoss(CQT())(model(INPUTS), torch.zeros(1, 16_384)).backward()
    norms = [parameter.grad.norm().item() for parameter in model.parameters()]
    assert [parameter.norm for parameter in report.parameters] == pytest.approx(norms, rel=1e-4)


def detached(model):
    return model(INPUTS).detach().requires_grad_().sum()  # cut here


def through_data(model):
    return model(INPUTS).data.sum()  # cut here


def through_item(model):
    return torch.tensor(model(INPUTS).sum().item(), requires_grad=True)  # cut here


def through_a_choice(model):
    return model(INPUTS).argmax(-1).float().mean()  # cut here


def through_librosa(model):
    mfcc = librosa.feature.mfcc(y=model(INPUTS)[0].detach().numpy(), sr=16_000)  # cut here
    return torch.tensor(mfcc, requires_grad=True).abs().mean()


@pytest.mark.parametrize("compute", [detached, through_data, through_item, through_a_choice, through_librosa])
def test_the_line_that_lost_the_gradient_is_named(model, compute):
    report = gradient_report(lambda: compute(model), model)
    assert report.lost == [name for name, _ in model.named_parameters()]
    assert "trains nothing" in str(report)
    assert report.cuts[0].file == __file__ and report.cuts[0].code.endswith("# cut here")


def test_the_published_loss_is_found_out(model):
    report = gradient_report(lambda: SpectralLoss(MFC(), gradient="cut")(model(INPUTS), torch.zeros(1, 16_384)), model)
    assert len(report.lost) == 4 and [cut.call for cut in report.cuts] == ["Tensor.detach"]
    assert "loss.py" in str(report) and "numpy()" in str(report)


def test_part_of_a_model_can_be_lost(model):
    def compute():
        with torch.no_grad():
            hidden = model[0](INPUTS)
        return model[2](hidden).sum()

    report = gradient_report(compute, model)
    assert report.lost == ["0.weight", "0.bias"] and "2 of 4 parameters" in str(report)
    assert "in no_grad" in report.cuts[0].call


def test_a_detached_target_is_no_fault(model):
    report = gradient_report(lambda: (model(INPUTS) - model(INPUTS).detach() - 1).square().mean(), model)
    assert report.cuts and not report.lost and "cut" not in str(report)


class Double(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value * 2  # without the graph, as every forward of a Function

    @staticmethod
    def backward(ctx, gradient):
        return gradient * 2


def test_a_function_with_a_backward_of_its_own_is_no_cut(model):
    report = gradient_report(lambda: Double.apply(model(INPUTS)).sum(), model)
    assert not report.cuts and not report.lost


def test_a_parameter_outside_the_loss(model):
    model.unused = nn.Linear(1, 1)
    report = gradient_report(
        lambda: model[0](INPUTS).sum() + 0 * model[2].bias.sum() + 0 * model[2].weight.sum(), model
    )
    assert report.lost == ["unused.weight", "unused.bias"] and "take no part in the loss" in str(report)


def test_a_gradient_that_is_not_finite(model):
    report = gradient_report(lambda: (model(INPUTS) * 0).abs().sqrt().sum(), model)  # the square root at zero
    assert report.not_finite and "not finite" in str(report)


def test_gradients_of_the_model_are_left_alone(model):
    gradient_report(lambda: model(INPUTS).sum(), model)
    assert all(parameter.grad is None for parameter in model.parameters())


def test_a_loss_that_is_no_number_is_refused(model):
    with pytest.raises(TypeError, match="a tensor of one number"):
        gradient_report(lambda: model(INPUTS), model)
    with pytest.raises(TypeError, match="not float"):
        gradient_report(lambda: float(np.mean([1.0])), model)


@pytest.mark.parametrize(
    ("flatten", "place"),
    [
        (lambda x: x.round(), True),
        (torch.sign, True),
        (lambda x: x.detach().clone().copy_(x).floor_(), True),
        (lambda x: x * 0, False),
        (lambda x: x.clamp(1e3, 1e4), False),
    ],
)
def test_a_zero_gradient_is_no_gradient(model, flatten, place):
    report = gradient_report(lambda: flatten(model(INPUTS)).sum(), model)
    assert report.zero == [name for name, _ in model.named_parameters()] and not report.lost
    assert "the gradient of all 4 parameters is zero: this loss trains nothing" in str(report)
    assert bool(report.flat) == place and ("test_audit.py" in str(report)) == place


def test_each_kind_of_fault_is_named_beside_the_others(model):
    model.unused, model.dead = nn.Linear(1, 1), nn.Linear(1, 1)
    model[0].weight.requires_grad_(False)

    def compute():
        return model[2](model[1](model[0](INPUTS))).sum() + 0 * model.dead.weight.sum() + (0 * model.dead.bias).sqrt()

    report = gradient_report(compute, model)
    assert report.lost == ["unused.weight", "unused.bias"] and report.zero == ["dead.weight"]
    assert report.not_finite == ["dead.bias"] and "1 is frozen" in str(report)
    for words in ("dead.bias is not finite", "2 of 7 parameters get no gradient", "1 of 7 parameters is zero"):
        assert words in str(report)


def test_a_frozen_model_is_reported(model):
    report = gradient_report(lambda: model.requires_grad_(False)(INPUTS).sum(), model)
    assert str(report).endswith("no parameter asks for a gradient; 4 are frozen (requires_grad is False)")
    assert not report.lost and not report.zero


def test_a_module_without_parameters_is_reported():
    assert "no parameter asks for a gradient" in str(gradient_report(lambda: INPUTS.sum(), nn.ReLU()))


def test_a_sparse_gradient_is_one():
    table = nn.Embedding(5, 2, sparse=True)
    assert "all 1 parameters get a gradient" in str(gradient_report(lambda: table(torch.tensor([1])).sum(), table))


def test_arguments_the_wrong_way_round_are_no_fault(model):
    report = gradient_report(lambda: SpectralLoss(CQT())(torch.zeros(1, 16_384), model(INPUTS)), model)
    assert not report.lost and not report.zero
    assert min(parameter.norm for parameter in report.parameters) > 0


def test_only_public_names_of_torch_are_used():
    source = inspect.getsource(gradients)
    names = {
        f"{node.value.id}.{node.attr}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name)
    }
    assert (
        not [name for name in names if name.startswith("torch._") and not name.endswith("__")]
        and "torch.utils._" not in source
    )
