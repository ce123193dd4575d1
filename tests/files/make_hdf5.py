# Makes the fixtures of hdf5.test.js with h5py (3.16, HDF5 2.0): every type that weights have, in the oldest and the newest
# form of the format, and one small file for each feature that Keras does not use. Each dataset holds 0, 1, 2, ... so that a test
# knows what to expect.
#
#   python make_hdf5.py

import os

import h5py
import ml_dtypes
import numpy as np

FOLDER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixtures")
TYPES = ["float32", "float64", "float16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64"]


def open_file(name, **options):
    return h5py.File(os.path.join(FOLDER, name + ".h5"), "w", **options)


def weights(name, **options):
    with open_file(name, **options) as f:
        group = f.create_group("layers/dense/vars")
        group.attrs["name"] = "my dense"
        for dtype in TYPES:
            group[dtype] = np.arange(6).reshape(2, 3).astype(dtype)
            if dtype in ("int16", "uint64"):
                group = f.create_group("more_" + dtype)
        group["bool"] = np.array([False, True, True])
        brain = group.create_dataset("bfloat16", data=np.arange(6).astype(ml_dtypes.bfloat16).view("V2"))
        brain.attrs["dtype"] = "bfloat16"
        group["scalar"] = np.float32(1.5)
        group["empty"] = np.zeros((0, 4), "float32")
        attrs = f.create_group("attributes").attrs
        attrs["text"] = "été"
        attrs["fixed"] = np.bytes_(b"fixed")
        attrs["list"] = ["a", "bc"]
        attrs["number"] = 2.5
        attrs["numbers"] = np.arange(3, dtype="int32")


def others():
    with open_file("chunks") as f:
        f.create_dataset("a", data=np.zeros((4, 4), "f4"), chunks=(2, 2))
    with open_file("gzip") as f:
        f.create_dataset("a", data=np.zeros((4, 4), "f4"), chunks=(4, 4), compression="gzip")
    # The second has a heap of several blocks and a tree of two levels.
    for name, count in (("many_links", 20), ("most_links", 100)):
        with open_file(name, libver="latest") as f:
            for i in range(count):
                f[str(i)] = np.float32(i)
    with open_file("many_attributes", libver="latest") as f:
        f["a"] = np.float32(0)
        for i in range(20):
            f["a"].attrs[str(i)] = i
    with open_file("soft_link") as f:
        f["a"] = np.float32(0)
        f["b"] = h5py.SoftLink("/a")
    with open_file("soft_link_new", libver="latest") as f:
        f["a"] = np.float32(0)
        f["b"] = h5py.SoftLink("/a")
    with open_file("hard_link") as f:
        f["a"] = np.float32(0)
        f["b"] = f["a"]
    with open_file("cycle") as f:
        f.create_group("a")["b"] = f["/"]
    with open_file("strings") as f:
        f["a"] = "text"
    with open_file("compound") as f:
        f["a"] = np.zeros(3, [("x", "f4"), ("y", "i4")])
    with open_file("big_endian") as f:
        f["a"] = np.zeros(3, ">f4")
    with open_file("unwritten") as f:
        f.create_dataset("a", (3,), "f4")
    with open_file("named_type") as f:
        f["type"] = np.dtype("f4")
        f.create_dataset("a", data=np.zeros(3, "f4"), dtype=f["type"])
    with open_file("opaque") as f:
        f["a"] = np.zeros(3, "V2")
    with open_file("enumeration") as f:
        f.create_dataset("a", data=np.zeros(3, "i1"), dtype=h5py.enum_dtype({"RED": 0, "BLUE": 1}, basetype="i1"))
    with open_file("external") as f:
        f.create_dataset("a", (2,), "f4", external="elsewhere.bin")
    with open_file("user_block", userblock_size=512) as f:
        f["a"] = np.float32(0)


os.makedirs(FOLDER, exist_ok=True)
weights("old")
weights("new", libver="latest")
with open_file("many") as f:
    for i in range(150):
        f[f"g/dataset_{i}"] = np.float32(i)
others()
