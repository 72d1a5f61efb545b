"""How each sort of mask lies on the head: outlines measured on worn masks."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from maskgen.studio.render.sheet import SheetShape

SURGICAL_SHAPE: Final = SheetShape(
    upper=((0, 13), (5, 14.5), (10, 19), (20, 23.5), (34, 24), (47, 23)),
    side=((47, 23), (45.5, 45), (44.5, 70), (45, 98)),
    lower=((0, 129), (12, 128), (24, 123), (35, 113), (45, 98)),
    clearance_mm=1.8,
    pressure=3.5,
    stiffness=0.33,
    wire_reach_deg=26,
    tension=(1.0, 0.9),
    tent_mm=13.0,
)
# The pleats hardly pulled apart: it ends on the chin and its sides are shorter.
SURGICAL_FLAT_SHAPE: Final = replace(
    SURGICAL_SHAPE,
    upper=((0, 16), (5, 17.5), (10, 21), (20, 26), (34, 28), (48, 28)),
    side=((48, 28), (47, 45), (46, 66), (46, 90)),
    lower=((0, 123), (12, 121.5), (24, 115), (35, 105), (46, 90)),
    tent_mm=18.0,
)
# Pulled wide open by a long chin, drawn in at the lower corners.
SURGICAL_OPEN_SHAPE: Final = replace(
    SURGICAL_SHAPE,
    upper=((0, 11), (5, 13), (10, 18), (20, 23), (34, 26), (46, 27)),
    side=((46, 27), (44, 48), (42, 72), (41, 94)),
    lower=((0, 133), (12, 131), (22, 125), (32, 113), (41, 94)),
    pressure=5.0,
    tent_mm=16.0,
)
PLEATED_SHAPE: Final = replace(
    SURGICAL_SHAPE,
    upper=((0, 12), (5, 14), (10, 18), (20, 23), (36, 25), (52, 25)),
    side=((52, 25), (51, 48), (50, 70), (49, 92)),
    lower=((0, 130), (12, 129), (24, 123), (37, 110), (49, 92)),
    pressure=4.5,
    tent_mm=15.0,
    wire_reach_deg=18,
)
KN95_SHAPE: Final = SheetShape(
    upper=((0, 8), (5, 11), (10, 17), (20, 25), (38, 31), (53, 34)),
    side=((53, 34), (54, 54), (52, 76)),
    lower=((0, 128), (14, 127), (28, 121), (41, 106), (52, 76)),
    clearance_mm=1.8,
    pressure=4.0,
    stiffness=0.3,
    ridge=((26, 56), (44, 64), (60, 66), (80, 59), (102, 46), (120, 29)),
    wire_reach_deg=26,
)
BOAT_SHAPE: Final = SheetShape(
    upper=((0, 7), (5, 10), (10, 16), (20, 25), (38, 36), (58, 45)),
    side=((58, 45), (59, 56), (57, 68)),
    lower=((0, 129), (14, 127), (28, 118), (42, 100), (57, 68)),
    clearance_mm=1.8,
    pressure=5.5,
    stiffness=0.34,
    wire_reach_deg=26,
    tent_mm=20.0,
)
CUP_SHAPE: Final = SheetShape(
    upper=((0, 8), (5, 10.5), (10, 16), (20, 26), (34, 38), (45, 50)),
    side=((45, 50), (49, 64), (50, 78), (46, 92)),
    lower=((0, 126), (12, 124), (24, 117), (36, 106), (46, 92)),
    clearance_mm=1.6,
    wire_reach_deg=26,
    dome_mm=40.0,
    tent_mm=8.0,
)
RIBBED_SHAPE: Final = replace(
    CUP_SHAPE,
    upper=((0, 6), (5, 9), (10, 15), (20, 27), (32, 41), (40, 54)),
    side=((40, 54), (43, 66), (43, 78), (40, 92)),
    lower=((0, 123), (12, 121), (22, 115), (32, 105), (40, 92)),
    dome_mm=46.0,
)
CLOTH_SHAPE: Final = SheetShape(
    upper=((0, 9), (5, 12), (10, 17), (22, 24), (40, 26), (58, 23)),
    side=((58, 23), (57.5, 45), (55, 68)),
    lower=((0, 129), (15, 127.5), (29, 121), (42, 105), (55, 68)),
    clearance_mm=1.8,
    pressure=4.0,
    stiffness=0.25,
    ridge=((24, 53), (36, 57), (52, 57), (72, 53), (95, 43), (116, 31)),
    wire_reach_deg=18,
)
PANELLED_SHAPE: Final = SheetShape(
    upper=((0, 3), (5, 7), (10, 13), (20, 23), (38, 32), (55, 38)),
    side=((55, 38), (57, 54), (55, 72)),
    lower=((0, 131), (14, 129), (27, 122), (41, 106), (55, 72)),
    clearance_mm=1.8,
    pressure=6.5,
    stiffness=0.3,
    wire_reach_deg=24,
    tent_mm=22.0,
)
FOAM_SHAPE: Final = SheetShape(
    upper=((0, 11), (5, 14), (10, 19), (22, 27), (42, 29), (70, 14)),
    side=((70, 14), (67.5, 28), (68, 44)),
    lower=((0, 128), (15, 126), (30, 118), (45, 98), (58, 68), (68, 44)),
    clearance_mm=1.4,
    pressure=3.0,
    stiffness=0.25,
    ridge=((24, 52), (34, 56), (48, 55), (72, 50), (95, 40), (116, 30)),
    wire_reach_deg=14,
)
DUCKBILL_SHAPE: Final = SheetShape(
    upper=((0, 8), (5, 11), (10, 17), (20, 25), (38, 33), (52, 40)),
    side=((52, 40), (53, 58), (51, 80)),
    lower=((0, 128), (15, 127), (28, 121), (40, 107), (51, 80)),
    clearance_mm=1.8,
    pressure=3.0,
    stiffness=0.3,
    wire_reach_deg=26,
    beak=((0, 76, 74), (16, 75.5, 72), (30, 73, 64), (44, 66, 36)),
)
GAITER_SHAPE: Final = SheetShape(
    upper=((0, 10), (6, 14), (14, 21), (30, 28), (60, 33), (85, 38), (105, 47), (125, 56), (148, 62)),
    side=((148, 62), (148, 110), (148, 166)),
    lower=((0, 174), (40, 173), (80, 170), (148, 166)),
    clearance_mm=1.8,
    pressure=2.0,
    stiffness=0.25,
    wire_reach_deg=10,
    tent_mm=8.0,
)
BANDANA_SHAPE: Final = replace(
    GAITER_SHAPE,
    side=((148, 62), (148, 74), (148, 86)),
    lower=((0, 184), (25, 168), (60, 134), (100, 102), (148, 86)),
    pressure=5.0,
)
