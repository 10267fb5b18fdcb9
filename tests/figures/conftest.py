"""Fits of few and of many clusters."""

from __future__ import annotations

import pytest
from figure_data import dataset

from mixedflow import api


@pytest.fixture(scope="module", params=[5, 400])
def fitted(request):
    frame, _ = dataset(request.param)
    return api.fit("y ~ x + (1 + x | g)", frame)
