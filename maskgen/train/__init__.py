"""Fine-tune a recognition network, so that it knows people with masks. Extra ``[train]``.

collection = collect(settings, out)                 # originals, masked copies, people held out
backbone = bases.load(settings.base)                # ONNX, .pth, pack or scratch
metrics = loop.train(settings, out)                 # the whole of it, top to bottom
export.write(backbone, out, pack)                   # model.onnx, backbone.pth, pack/
"""
