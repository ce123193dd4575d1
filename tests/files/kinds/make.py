# Makes the beginnings of files that people load by mistake, each written by the program that writes such files or spelled as
# a server sends it. ../kinds.test.js says what must be said of them.
#
#   pip install torch numpy onnx safetensors sentencepiece h5py gguf && python make.py

import base64
import gzip
import io
import json
import os
import tarfile
import tempfile

import h5py
import numpy as np
import onnx
import safetensors.numpy
import sentencepiece
import torch
from onnx import TensorProto, helper

HERE = os.path.dirname(os.path.abspath(__file__))
WEIGHTS = {"a.weight": np.arange(12, dtype=np.float32).reshape(3, 4)}


def saved(write):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "file")
        write(path)
        # Some writers choose the ending themselves.
        with open(os.path.join(folder, os.listdir(folder)[0]), "rb") as file:
            return file.read()


def torch_file():
    tensors = {name: torch.from_numpy(value) for name, value in WEIGHTS.items()}
    return saved(lambda path: torch.save(tensors, path, _use_new_zipfile_serialization=False))


def onnx_file(producer):
    nodes = [helper.make_node("Relu", ["x"], ["y"])]
    ends = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]) for name in "xy"]
    return helper.make_model(helper.make_graph(nodes, "g", ends[:1], ends[1:]), producer_name=producer).SerializeToString()


def tar_file():
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        data = safetensors.numpy.save(WEIGHTS)
        entry = tarfile.TarInfo("model.safetensors")
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return out.getvalue()


def sentence_piece():
    out = io.BytesIO()
    text = ["the quick brown fox jumps over the lazy dog"] * 20
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(text), model_writer=out, vocab_size=40, model_type="bpe", minloglevel=2
    )
    return out.getvalue()


def chunked_hdf5(path):
    with h5py.File(path, "w") as file:
        file["a"] = WEIGHTS["a.weight"]


XML = b'<?xml version="1.0" encoding="UTF-8"?>\n'
PAGE = b"<html>\r\n<head><title>404 Not Found</title></head>\r\n<body>\r\n<center><h1>404 Not Found</h1></center>\r\n</body>\r\n</html>\r\n"
POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:{0}\nsize 548105171\n".format("4d7a" * 16)

FILES = [
    ("a server's page of an error", "HTML", PAGE),
    ("a start page after a byte order mark", "HTML", b"\xef\xbb\xbf\n<!doctype HTML>\n<html lang=en><head>"),
    ("a page after a comment", "HTML", b"<!-- built by a tool\n-->\n<!DOCTYPE html><html><head>"),
    ("a page of XHTML", "HTML", XML + b'<!DOCTYPE html PUBLIC "-//W3C//DTD XHTML 1.0 Strict//EN" "xhtml1.dtd">'),
    ("a refusal of a storage service", "XML", XML + b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"),
    ("a pointer with the line ends of Windows", "LFS", POINTER.replace("\n", "\r\n").encode()),
    ("a pointer with an extension", "LFS", POINTER.replace("oid", "ext-0-foo sha256:1\noid").encode()),
    ("a refusal in JSON", "JSON", b'{"error":"Repository not found"}'),
    ("torch.save as it once was", "pickle", torch_file()),
    ("an ONNX model of no known producer", "ONNX", onnx_file("")),
    ("an ONNX model of a tool of one's own", "ONNX", onnx_file("my-exporter")),
    ("numpy.save", "NumPy", saved(lambda path: np.save(path, WEIGHTS["a.weight"]))),
    ("numpy.savez", "zip", saved(lambda path: np.savez(path, **WEIGHTS))),
    ("safetensors in gzip", "gzip", gzip.compress(safetensors.numpy.save(WEIGHTS), mtime=0)),
    ("safetensors in tar", "tar", tar_file()),
    ("a SentencePiece model", "SentencePiece", sentence_piece()),
    ("HDF5 without a preset around it", "Keras", saved(chunked_hdf5)),
]


def main():
    cases = [{"name": name, "says": says, "head": base64.b64encode(data[:600]).decode()} for name, says, data in FILES]
    with open(os.path.join(HERE, "cases.json"), "w") as file:
        file.write("[\n" + ",\n".join(json.dumps(case) for case in cases) + "\n]\n")


main()
