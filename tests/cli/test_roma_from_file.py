"""RoMa's weights as published, DINOv2's beside them, and two files: a registered GeoTIFF comes out."""

from __future__ import annotations

import dataclasses
import json

import made_roma
import numpy as np
import pytest
import rasterio
import torch
from rasterio.transform import from_origin

from xmatch.io.weights.files import WeightsMetadata, save_weights
from xmatch.networks.roma.network import Roma

SHIFT_PX = (28.0, -42.0)
"""Whole patches, which the weights written by hand can tell."""


@pytest.fixture
def files(tmp_path, monkeypatch):
    """fixed.tif, moving.tif, roma.ckpt, dino.pth; what lies at (x, y) of moving lies at (x, y) + SHIFT_PX of fixed."""
    monkeypatch.chdir(tmp_path)
    scene = np.random.default_rng(0).integers(0, 255, (644, 644), np.uint8)
    for name, (x, y) in (("fixed.tif", (42, 42)), ("moving.tif", (70, 0))):
        profile = {"width": 560, "height": 560, "count": 1, "dtype": "uint8", "driver": "GTiff"}
        with rasterio.open(name, "w", **profile, crs="EPSG:32633", transform=from_origin(5e5, 5e6, 1, 1)) as file:
            file.write(scene[y : y + 560, x : x + 560], 1)
    state = {f"matcher.model.{name}": tensor for name, tensor in made_roma.roma().items()}
    torch.save({"state_dict": state, "epoch": 3}, "roma.ckpt")
    torch.save(made_roma.dino(), "dino.pth")


@pytest.fixture
def converted(files):
    """Words of a registration by the weights."""
    metadata = WeightsMetadata("made", "roma", "MIT", json.loads(json.dumps(dataclasses.asdict(made_roma.CONFIG))))
    save_weights("roma.safetensors", made_roma.roma(), metadata)
    words = ("--ignore-georef", "--device", "cpu", "--threads", "1", "--json")
    return (
        "register",
        "fixed.tif",
        "moving.tif",
        "--weights",
        "roma.safetensors",
        "--companion-weights",
        "dino.pth",
        *words,
    )


def out_of_memory(*sides_px):
    """What describes images, but for those of these sides."""
    describe = Roma.describe

    def instead(self, image, **more):
        if image.shape[2] in sides_px:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes")
        return describe(self, image, **more)

    return instead


def test_without_memory_for_the_second_pass_the_first_one_does_and_it_is_said(cli, converted, monkeypatch):
    monkeypatch.setattr(Roma, "describe", out_of_memory(864))
    done = cli(*converted)
    assert (
        done.code == 0 and "memory did not suffice: no second pass, so positions to 560 px a side" in done.json["notes"]
    )


def test_without_memory_for_the_smallest_pass_the_command_says_so(cli, converted, monkeypatch):
    monkeypatch.setattr(Roma, "describe", out_of_memory(864, 560, 280))
    done = cli(*converted)
    assert done.code == 7 and done.json["error"]["code"] == "resources"
    assert "images seen in 280 x 280 px" in done.json["error"]["message"]


def test_a_published_file_registers_once_it_is_known_how_it_was_trained(cli, files):
    register = ("register", "fixed.tif", "moving.tif", "--ignore-georef", "--device", "cpu", "--threads", "1")
    asked = cli(*register, "--weights", "roma.ckpt", "--companion-weights", "dino.pth")
    assert asked.code == 6 and "--training outdoor|indoor|minima|matchanything" in asked.err
    assert cli("models", "convert", "roma.ckpt", "roma.safetensors", "--training", "matchanything").code == 0
    alone = cli(*register, "--weights", "roma.safetensors")
    assert alone.code == 6 and "--companion-weights" in alone.err
    done = cli(*register, "--weights", "roma.safetensors", "--companion-weights", "dino.pth", "--json")
    found = json.loads(done.out)
    assert done.code == 0 and found["verdict"]["accepted"] and found["verdict"]["matcher"] == "roma"
    middle = np.array([280.0, 280.0, 1.0])
    np.testing.assert_allclose((np.array(found["transform"]["matrix"]) @ middle)[:2] - middle[:2], SHIFT_PX, atol=0.5)
    with rasterio.open("moving.registered.tif") as registered, rasterio.open("fixed.tif") as fixed:
        assert registered.crs == fixed.crs and registered.transform == fixed.transform
        inside = np.s_[100:400, 100:400]
        np.testing.assert_allclose(registered.read(1)[inside], fixed.read(1)[inside], atol=3)
