"""What BMVOS and EMVOS make of maps and masks, against plain concatenation and by hand."""

import torch
from torch import Tensor

from model.twoframe.decoder import MaskEmbedder, TwoFrameDecoder, coordinates


@torch.no_grad()
def test_what_is_shared_by_objects_equals_plain_concatenation() -> None:
    torch.manual_seed(0)
    decoder = TwoFrameDecoder((12, 10, 8), 5, 6, gated=True).eval()
    skips = [torch.randn(2, 12, 2, 3), torch.randn(2, 10, 4, 6), torch.randn(2, 8, 8, 12)]
    maps = torch.randn(2, 3, 5, 2, 3)
    ours = decoder(*skips, maps)
    assert ours.shape == (2, 3, 2, 32, 48)

    def layer(name: str, x: Tensor) -> Tensor:
        out: Tensor = getattr(decoder, name)(x)
        return out

    def plain(name: str, x: Tensor) -> Tensor:
        conv = getattr(decoder, name).conv
        return torch.nn.functional.conv2d(x, conv.weight, conv.bias, conv.stride, conv.padding)

    for thing in range(3):
        x = maps[:, thing]
        for number, skip in enumerate(skips, start=1):
            image = layer(f"conv{number}", skip).relu()
            blended = plain(f"blend{number}", torch.cat([image, x], dim=1)).relu()
            x = layer(f"deconv{number}", layer(f"cbam{number}", blended))
        torch.testing.assert_close(ours[:, thing], x, atol=1e-5, rtol=1e-4)


@torch.no_grad()
def test_mask_embedding_sees_masks_newest_first_then_places() -> None:
    torch.manual_seed(0)
    embed = MaskEmbedder((4, 5, 6, 7)).eval()
    masks = [torch.rand(1, 2, 32, 48) for _ in range(3)]
    ours = embed(masks)
    assert ours.shape == (1, 2, 7, 2, 3)
    y = torch.linspace(-1, 1, 32)[:, None].expand(32, 48)
    x = torch.linspace(-1, 1, 48).expand(32, 48)
    for thing in range(2):
        planes = [plane for mask in masks for plane in (1 - mask[0, thing], mask[0, thing])]
        out = torch.stack([*planes, y, x, (x**2 + y**2).sqrt()])[None]
        first = embed.conv1.conv
        out = torch.nn.functional.conv2d(out, first.weight, first.bias, stride=2, padding=3).relu()
        for number in (2, 3):
            out = getattr(embed, f"conv{number}")(out).relu()
        torch.testing.assert_close(ours[:, thing], embed.conv4(out), atol=1e-5, rtol=1e-4)


def test_coordinates_by_hand() -> None:
    y, x, radius = coordinates(2, 3, torch.zeros(1))[0]
    assert y.tolist() == [[-1, -1, -1], [1, 1, 1]] and x.tolist() == [[-1, 0, 1], [-1, 0, 1]]
    torch.testing.assert_close(radius, torch.tensor([[2**0.5, 1, 2**0.5]] * 2))
