"""Networks so small that a test can train them."""

import torch

from maskgen.train import export
from maskgen.train.backbones import build, mobilefacenet


def tiny(embedding=16):
    """What is built of the smallest MobileFaceNet."""
    return mobilefacenet(1 / 16, blocks=(1, 1, 1, 1), embedding=embedding)


def seeded(spec, seed=0):
    """A network that has learnt nothing."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return build(spec)


def lived_in(spec, seed=0):
    """A network whose batch norms have seen something: statistics, scales and shifts of their own."""
    generator = torch.Generator().manual_seed(seed)

    def draw(tensor, low, high):
        with torch.no_grad():
            tensor.copy_(torch.rand(tensor.shape, generator=generator) * (high - low) + low)

    network = seeded(spec, seed)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm1d | torch.nn.BatchNorm2d):
            draw(module.running_mean, -0.5, 0.5)
            draw(module.running_var, 0.5, 2)
            draw(module.weight, 0.5, 1.5)
            draw(module.bias, -0.5, 0.5)
        elif isinstance(module, torch.nn.PReLU):
            draw(module.weight, 0.1, 0.5)
    return network.eval()


def written(path, embedding=16):
    """A recognition ONNX that has learnt nothing, but has seen noise: enough to be a base or a teacher."""
    network = seeded(tiny(embedding), 5)
    network.train()(torch.randn(16, 3, 112, 112, generator=torch.Generator().manual_seed(0)))
    export.write_onnx(network, path)
    return path
