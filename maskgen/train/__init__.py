"""ArcFace that knows masks: fine-tune a recognition network on what ``maskgen augment`` wrote. Extra ``[train]``.

collection = data.collect(settings, out)            # originals, masked copies, people held out
backbone = bases.load(settings.base)                # ONNX, .pth, pack or scratch
metrics = loop.train(settings, out)                 # the whole of it, top to bottom
export.write(backbone, out, pack)                   # model.onnx, backbone.pth, pack/
"""
