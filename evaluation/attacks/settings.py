"""Settings of the attacks: one model a method, told apart by ``method``.

Every ε and every step is a share of the pixel range 0 to 1, whatever normalisation the network has.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Share = Annotated[float, Field(gt=0, le=1)]
Count = Annotated[int, Field(ge=1)]

Paper = Literal["fgsm", "jsma", "cw", "black-box", "deepfool"]
"""Column of the tables of Wang et al. (ICSE 2019)."""


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Attack(_Settings):
    """Settings that all attacks share.

    Attributes:
        name: the kind of its images in reports, such as ``pgd 0.2``.
        samples: number of images wanted that fool the classifier.
        attempts: most images it is tried on.
        paper: the column of the paper's tables that it stands for, if any.
    """

    name: str = Field(min_length=1)
    samples: Count
    attempts: Count
    paper: Paper | None = None


class Fgsm(_Attack):
    """The fast gradient sign method: one step of size ε."""

    method: Literal["fgsm"] = "fgsm"
    epsilon: Share


class MinimalFgsm(_Attack):
    """The fast gradient sign method with the least size up to ε that fools, as in older toolboxes.

    Attributes:
        step: unit of the sizes, which are tried as its multiples.
    """

    method: Literal["fgsm_minimal"] = "fgsm_minimal"
    epsilon: Share
    step: Share


class Pgd(_Attack):
    """Projected gradient descent within ε in the largest pixel difference.

    Attributes:
        step: size of an iteration's step.
        restarts: number of starts at random in the ball; 0 starts once, at the image itself.
        targeted: whether it leads to one wrong label drawn at random, instead of to any.
    """

    method: Literal["pgd"] = "pgd"
    epsilon: Share
    step: Share
    iterations: Count
    restarts: int = Field(ge=0)
    targeted: bool = False


class Patch(_Attack):
    """A square of any colours at a random place, made for each image.

    Attributes:
        share: area of the square as a share of the image's.
        step: size of an iteration's step.
        iterations: number of steps.
    """

    method: Literal["patch"] = "patch"
    share: Share
    step: Share
    iterations: Count


class AutoAttack(_Attack):
    """AutoAttack within ε in the largest pixel difference.

    The implementation is the adversarial-robustness-toolbox's.

    Attributes:
        restarts: most starts of each of its members.
        queries: most queries of its last member, Square, a start.
    """

    method: Literal["autoattack"] = "autoattack"
    epsilon: Share
    restarts: Count = 5
    queries: Count = 5000


class Square(_Attack):
    """The Square attack within ε in the largest pixel difference; it sees logits, no gradient."""

    method: Literal["square"] = "square"
    epsilon: Share
    iterations: Count


class Jsma(_Attack):
    """The saliency map attack, each image towards a wrong class drawn at random.

    Attributes:
        theta: amount added to a pixel that is changed.
        gamma: most values changed, as a share of all.
    """

    method: Literal["jsma"] = "jsma"
    theta: Share = 1.0
    gamma: Share = 0.12


class CarliniWagner(_Attack):
    """Carlini and Wagner's L2 attack.

    Attributes:
        confidence: κ, the amount by which the wrong logit is to exceed the right one.
        initial_const: the scale coefficient c that the binary search starts at.
        search_steps: number of steps of that search; 1 stays at ``initial_const``.
        iterations: number of steps of gradient descent for each c.
        learning_rate: learning rate of these steps.
    """

    method: Literal["cw"] = "cw"
    confidence: float = Field(default=0.0, ge=0)
    initial_const: float = Field(gt=0)
    search_steps: Count
    iterations: Count
    learning_rate: float = Field(gt=0)


class DeepFool(_Attack):
    """DeepFool.

    Attributes:
        overshoot: distance that it goes past the boundary, as a share of the way to it.
        labels: number of most likely labels whose boundaries it looks at; None looks at all.
    """

    method: Literal["deepfool"] = "deepfool"
    iterations: Count = 50
    overshoot: float = Field(default=0.02, ge=0)
    labels: Annotated[int, Field(ge=2)] | None = None


class Substitute(_Settings):
    """Settings of a substitute's training from the classifier's answers alone.

    Defaults are those of the method's paper.

    Attributes:
        architecture: network of the substitute, see ``ARCHITECTURES``.
        seeds: number of clean images to start from.
        rounds: number of trainings; all but the last are followed by an augmentation, which doubles
            the images.
        epochs: number of passes over the images a round.
        step: λ, by which an augmentation moves every pixel.
        batch_size: number of images a step of gradient descent.
        learning_rate: learning rate of these steps.
        momentum: momentum of these steps.
    """

    architecture: Literal["papernot-a", "lenet"]
    seeds: Count = 150
    rounds: Count = 6
    epochs: Count = 10
    step: Share = 0.1
    batch_size: Count = 32
    learning_rate: float = Field(default=0.01, gt=0)
    momentum: float = Field(default=0.9, ge=0, lt=1)


class BlackBox(_Attack):
    """The fast gradient sign method on a substitute; the classifier is only asked for labels."""

    method: Literal["black_box"] = "black_box"
    epsilon: Share
    substitute: Substitute


class HopSkipJump(_Attack):
    """HopSkipJump in L2; it sees labels alone.

    Attributes:
        iterations: number of steps along the boundary.
        max_eval: most queries to estimate one gradient.
        init_eval: number of queries to estimate the first one.
    """

    method: Literal["hopskipjump"] = "hopskipjump"
    iterations: Count
    max_eval: Count
    init_eval: Count


AttackSettings = Annotated[
    Fgsm
    | MinimalFgsm
    | Pgd
    | Patch
    | AutoAttack
    | Square
    | Jsma
    | CarliniWagner
    | DeepFool
    | BlackBox
    | HopSkipJump,
    Field(discriminator="method"),
]
"""Settings of any method, for pydantic to read."""
