"""Optimal exclusive assignment of a few rows, for many problems at once on any device."""

import torch
from torch import Tensor


def assign_rows(scores_BQN: Tensor, rows_BQ: Tensor) -> tuple[Tensor, Tensor]:
    """Assign rows to different columns so that as many as possible are assigned, with the largest sum of scores.

    What the Hungarian algorithm gives. Only the Q best columns of a row can matter, since at most Q - 1 of them go to
    other rows; so all `(Q + 1)^Q` choices are compared, without waiting for the device.

    Args:
        scores_BQN: minus infinity where a row must not have a column; N >= Q, and Q is a handful.
        rows_BQ: False for rows that take no part.

    Returns:
        The column of each row [B,Q], int64, and whether the row is assigned [B,Q]; if it is not, its column is 0.
    """
    rows = scores_BQN.shape[1]
    device = scores_BQN.device
    best = scores_BQN.topk(rows, dim=2)
    # One more choice for each row: no column.
    usable = torch.cat([best.values.isfinite() & rows_BQ[..., None], torch.zeros_like(rows_BQ)[..., None]], dim=2)
    values = torch.cat([best.values, torch.zeros_like(best.values[..., :1])], dim=2)
    columns = torch.cat([best.indices, torch.zeros_like(best.indices[..., :1])], dim=2)

    choice_CQ = torch.cartesian_prod(*[torch.arange(rows + 1, device=device)] * rows).reshape(-1, rows)
    row_Q = torch.arange(rows, device=device)
    taken_BCQ, column_BCQ = usable[:, row_Q, choice_CQ], columns[:, row_Q, choice_CQ]
    possible_BC = (taken_BCQ | (choice_CQ == rows)).all(dim=2)
    both = taken_BCQ[..., :, None] & taken_BCQ[..., None, :]
    shared = both & (column_BCQ[..., :, None] == column_BCQ[..., None, :])
    possible_BC &= ~shared.triu(diagonal=1).flatten(2).any(dim=2)

    assigned_BC = taken_BCQ.sum(dim=2).masked_fill(~possible_BC, -1)
    total_BC = torch.where(taken_BCQ, values[:, row_Q, choice_CQ], 0.0).sum(dim=2)
    most = assigned_BC.amax(dim=1, keepdim=True)
    winner_B11 = total_BC.masked_fill(assigned_BC < most, -torch.inf).argmax(dim=1)[:, None, None].expand(-1, 1, rows)
    taken_BQ = taken_BCQ.gather(1, winner_B11)[:, 0]
    return torch.where(taken_BQ, column_BCQ.gather(1, winner_B11)[:, 0], 0), taken_BQ
