"""Gradients that attacks follow: faster ones of convolutions, and ones that pass flat clips.

Torch's gradient for the input of a convolution is slow where the input has few channels: for LeNet
it is two thirds of all time. The same gradient is a convolution of the output's with the kernel
turned around.

A network that clips its values has no gradient where they are clipped, though a larger change would
have an effect. There an attack may act as if the clip were not there (backward pass differentiable
approximation: Athalye, Carlini, Wagner: Obfuscated gradients give a false sense of security. ICML
2018, section 4.1).
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import conv2d, pixel_shuffle, pixel_unshuffle
from torch.overrides import TorchFunctionMode

_Pair = int | tuple[int, ...]

_FEW = 4
"""Most channels of an input for which this pays."""
_HALVING = 2
_CLIPS = (torch.clamp, torch.clip, Tensor.clamp, Tensor.clip)


class AttackGradients(TorchFunctionMode):
    """Context in which convolutions of few channels take the faster gradient.

    Their weights get none. Strides of 1, and of 2 for kernels of an even side, are known; all other
    convolutions are torch's own.
    """

    def __init__(self, *, through_clips: bool = False) -> None:
        """Describe the context; ``through_clips`` lets gradients pass clips on both sides."""
        super().__init__()
        self._through_clips = through_clips

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Call a function of torch, or the convolution in its place."""
        kwargs = kwargs or {}
        if func is conv2d:
            asked = _Convolution(*args, **kwargs)
            if asked.known:
                return _Narrow.apply(asked.images, asked.weight, asked.bias, asked.stride, asked.padding)  # type: ignore[no-untyped-call]
        found = func(*args, **kwargs)
        if self._through_clips and func in _CLIPS and _clips(*args, **kwargs):
            return args[0] + (found - args[0]).detach()
        return found


def _clips(values: Any, min: Any = None, max: Any = None) -> bool:  # noqa: A002
    """Check whether both sides are clipped, and a gradient is asked for."""
    return min is not None and max is not None and isinstance(values, Tensor) and values.requires_grad


class _Convolution:
    """Arguments of a convolution, as ``torch.nn.functional.conv2d`` takes them."""

    def __init__(
        self,
        input: Tensor,  # noqa: A002
        weight: Tensor,
        bias: Tensor | None = None,
        stride: _Pair = 1,
        padding: _Pair | str = 0,
        dilation: _Pair = 1,
        groups: int = 1,
    ) -> None:
        self.images, self.weight, self.bias = input, weight, bias
        self.stride, self.padding = _side(stride), _side(padding)
        kernel = _side(tuple(weight.shape[2:]))
        narrow = weight.shape[1] <= _FEW and input.requires_grad and not weight.requires_grad
        plain = groups == _side(dilation) == 1 and None not in (self.stride, self.padding, kernel)
        self.known = narrow and plain and self._turns(kernel or 0)

    def _turns(self, kernel: int) -> bool:
        """Check whether the gradient is a convolution with the kernel turned around."""
        padding = self.padding or 0
        if self.stride == 1:
            return padding < kernel
        whole = all((length + 2 * padding - kernel) % 2 == 0 for length in self.images.shape[2:])
        return self.stride == _HALVING and kernel % 2 == 0 and whole


def _side(pair: _Pair | str) -> int | None:
    """Return a number that holds for both axes; None where there is none."""
    if isinstance(pair, int):
        return pair
    return pair[0] if not isinstance(pair, str) and len(set(pair)) == 1 else None


class _Narrow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, images: Tensor, weight: Tensor, bias: Tensor | None, stride: int, padding: int
    ) -> Tensor:
        ctx.save_for_backward(weight)
        ctx.stride, ctx.padding = stride, padding
        return conv2d(images, weight, bias, stride, padding)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        if ctx.stride == 1:
            turned = weight.flip(2, 3).transpose(0, 1)
            found = conv2d(gradient, turned, None, 1, weight.shape[2] - 1 - ctx.padding)
        else:  # a stride of 2 is one of 1 over blocks of four pixels
            blocks = pixel_unshuffle(weight, 2)
            whole = conv2d(gradient, blocks.flip(2, 3).transpose(0, 1), None, 1, blocks.shape[2] - 1)
            inside = slice(ctx.padding, -ctx.padding or None)
            found = pixel_shuffle(whole, 2)[:, :, inside, inside]
        return found, None, None, None, None
