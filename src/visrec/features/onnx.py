"""Networks in ONNX files as extractors, through onnxruntime (an extra: `pip install 'visrec[onnx]'`)."""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from visrec.errors import ConfigError, FeaturesError
from visrec.features.extractor import Extractor, Pending, versions
from visrec.features.lanes import Lanes
from visrec.features.layers import grid_of
from visrec.features.onnx_file import input_of, listed, open_session, short, weights_digest
from visrec.features.onnx_options import OnnxOptions, settled, transform_of
from visrec.features.pooling import Pool, pool

__all__ = ["Onnx", "OnnxOptions"]

_PIECE, _PIECE_GPU = 8, 64  # pictures a thread, where the file leaves the number open
_MOST_PREFIX = 8  # tokens before those of the patches: a class token, one of a teacher, some registers


class Onnx(Extractor):
    """A network in an ONNX file: one of its outputs for each picture.

    Pictures go through it in pieces of one size, filled up with zeros: a picture's vector is the same bit for bit
    whichever others come with it.
    """

    Config = OnnxOptions

    def __init__(self, file: str | Path, **options: Any) -> None:
        """Open the file.

        Args:
            file: The network, `.onnx`; weights that it keeps in files beside it are found there.
            options: See `OnnxOptions`.

        Raises:
            ConfigError: no such option or output, or a pooling that makes no sense there.
            FeaturesError: onnxruntime is not installed, or the file is missing, broken, or not a network that takes
                one RGB picture.
        """
        self.name = f"onnx:{Path(file).name}"  # not its path: the same file elsewhere is the same
        self.path = Path(file)
        asked = OnnxOptions(**options)
        if not self.path.is_file():
            raise FeaturesError(f"{self.path}: no such file. Give a network saved as ONNX: onnx:FILE.")
        self.device, self._session = open_session(self.path)
        self._input = input_of(self.path, self._session.get_inputs())
        self.options = settled(
            self.path, asked, self._session.get_modelmeta().custom_metadata_map, self._input
        )
        self.preparation = self.transform = transform_of(self.options)
        self._digest = weights_digest(self.path)
        self.layer = self._choose_layer()
        output = self._probe()
        self._read(output)
        on_cpu, n = self.device == "cpu", os.cpu_count() or 1
        # A file may fix how many pictures come together, or say that it does not and fix it all the same.
        size = self._input.batch or (1 if len(output) == 1 else _PIECE if on_cpu else _PIECE_GPU)
        self._lanes = Lanes(ThreadPoolExecutor(n if on_cpu else 1, "visrec-encode"), size)
        self.batch_size = max(32, size * (2 * n if on_cpu else 1))  # keeps all threads busy

    def _choose_layer(self) -> str:
        outputs = self._session.get_outputs()
        wanted = self.options.layer
        if wanted is None:
            vectors = [one for one in outputs if len(one.shape) == 2]
            if len(outputs) > 1 and not vectors:
                raise FeaturesError(
                    f"{self.path}: none of its outputs is one vector a picture: {listed(outputs)}. Name one: "
                    f"--layer {outputs[0].name}."
                )
            return str((outputs if len(outputs) == 1 else vectors)[0].name)
        if wanted not in {one.name for one in outputs}:
            raise ConfigError(
                f"{self.path}: has no output '{wanted}'. Its outputs: {listed(outputs)}. Name one: --layer "
                f"{outputs[0].name}; a layer within must first be made an output of the file."
            )
        return wanted

    def _probe(self) -> np.ndarray:
        """The output for black pictures: as many as the file fixes, else two, or one where it takes no more."""
        high, wide = self.transform.crop
        found, tried = "", [self._input.batch] if self._input.batch else [2, 1]
        for n in tried:
            try:
                output = self._run(np.zeros((n, high, wide, 3), dtype=np.uint8))
            except FeaturesError:
                if n == tried[-1]:
                    raise
                continue
            if not isinstance(output, np.ndarray):
                found = f"a {type(output).__name__}"
            elif output.ndim in (2, 3, 4) and len(output) == n and output.dtype.kind in "fiu":
                return output
            else:
                found = f"{output.shape} {output.dtype}"
        raise FeaturesError(
            f"{self.path}: its output '{self.layer}' is {found} for a batch of {n}; expected vectors ({n}, F), a map "
            f"({n}, C, H, W) or tokens ({n}, N, C). Its outputs: {listed(self._session.get_outputs())}. Name "
            f"another: --layer NAME."
        )

    def _read(self, output: np.ndarray) -> None:
        """Find out from an output how to read it: `shape`, `grid`, the pooling."""
        shape, n_prefix = output.shape, self.options.n_prefix
        self._n_prefix = 0
        if len(shape) == 3:
            self._n_prefix = _n_prefix_of(shape[1]) if n_prefix is None else n_prefix
        self._how = self._pooling(shape)
        self._channels_last = len(shape) == 4 and (
            shape[1] == shape[2] != shape[3]
            or (self._input.channels_last and not shape[2] == shape[3] != shape[1])
        )
        if len(shape) == 3 and self._n_prefix >= shape[1]:
            raise ConfigError(
                f"{self.path}: n_prefix is {n_prefix}; expected less than the {shape[1]} tokens of "
                f"'{self.layer}'."
            )
        self.shape = self._pooled(output).shape[1:]
        if self._how == "regions":
            sides = shape[1:3] if self._channels_last else shape[2:]
            self.grid = (sides[0], sides[1]) if len(shape) == 4 else grid_of(self.shape[0])

    def _pooling(self, shape: Sequence[int]) -> Pool | None:
        asked = self.options.pool
        if len(shape) == 2:
            if asked is not None:
                raise ConfigError(
                    f"{self.path}: its output '{self.layer}' is one vector of {shape[1]} numbers a picture; there is "
                    f"nothing to pool. Leave --pool out, or name an output that is a map: "
                    f"{listed(self._session.get_outputs())}."
                )
            return None
        if asked == "cls" and not self._n_prefix:
            kind = "is a map" if len(shape) == 4 else "has tokens of patches alone"
            raise ConfigError(
                f"{self.path}: its output '{self.layer}' {kind}, without a class token. Use --pool mean, max, gem "
                f"or regions{'' if len(shape) == 4 else ', or say how many tokens come first: --set n_prefix=1'}."
            )
        return asked or "mean"

    def provenance(self) -> dict[str, Any]:
        """What makes the vectors (JSON-able)."""
        return {
            "extractor": self.name,
            "source": "onnx",
            "weights": self.path.name,
            "weights_digest": self._digest,
            "dim": self.dim,
            "transform": self._described(),
            "layer": f"{self.layer}{f', {self._how}' if self._how else ''}",
            "options": self.options.model_dump(mode="json", exclude_none=True),
            "device": self.device,
            "versions": versions("onnxruntime", "pillow"),
        }

    def _described(self) -> str:
        text = str(self.transform)
        if self._input.dtype is np.uint8:
            text = f"{text.partition(', mean')[0]}, values 0 to 255"
        return text if self.options.channels == "rgb" else f"{text}, as BGR"

    def submit(self, batch: np.ndarray) -> Pending:
        """`(B, H, W, 3)` uint8 to vectors `(B, *shape)` float32, in threads of its own."""
        return self._lanes.submit(self._vectors, batch)

    def encode(self, batch: np.ndarray) -> np.ndarray:
        """`submit`, and wait for it."""
        return self.submit(batch).result()

    def _vectors(self, piece: np.ndarray) -> np.ndarray:
        return np.asarray(self._pooled(self._run(piece)), dtype=np.float32)

    def _run(self, piece: np.ndarray) -> np.ndarray:
        """The output for `(b, H, W, 3)` uint8; `FeaturesError` where the network does not take them."""
        pixels = self.normalize(piece)
        try:
            output: np.ndarray = self._session.run([self.layer], {self._input.name: pixels})[0]
        except Exception as error:  # onnxruntime has a dozen, without a base of their own
            raise FeaturesError(
                f"{self.path}: does not take an input of {pixels.shape} ({short(error)}). Give the size of the "
                f"picture that it was made for: --set input_size=SIDE."
            ) from error
        return output

    def _pooled(self, output: np.ndarray) -> np.ndarray:
        if self._how is None:
            return output
        if self._channels_last:
            output = output.transpose(0, 3, 1, 2)  # (B, C, H, W)
        return pool(output, self._how, n_prefix=self._n_prefix)

    def normalize(self, batch: np.ndarray) -> np.ndarray:
        """`(B, H, W, 3)` uint8 to the network's input, of its type, channels where and as it wants them."""
        turned, last = self.options.channels == "bgr", self._input.channels_last
        pixels = batch[..., ::-1] if turned else batch
        pixels = np.ascontiguousarray(pixels if last else pixels.transpose(0, 3, 1, 2))
        if self._input.dtype is np.uint8:
            return pixels
        values = pixels.astype(np.float32)
        values /= 255
        for numbers, change in ((self.transform.mean, np.subtract), (self.transform.std, np.divide)):
            each = np.array(numbers[::-1] if turned else numbers, dtype=np.float32)
            change(values, each if last else each[:, None, None], out=values)
        return values.astype(self._input.dtype, copy=False)


def _n_prefix_of(n_tokens: int) -> int:
    """How few tokens must be left out so that the others form a square; 0 where up to 8 are not enough."""
    few = range(min(_MOST_PREFIX, n_tokens - 1) + 1)
    return next((n for n in few if grid_of(n_tokens - n)), 0)
