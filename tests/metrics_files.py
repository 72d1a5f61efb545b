"""A ``metrics.json`` as a training writes it."""


def metrics():
    """Its content: ten steps, one condition measured before and after."""

    def report(auc):
        rate = {"far": 0.01, "rate": auc - 0.1}
        figures = {"genuine": 10, "impostor": 20, "accuracy": auc, "accuracy_std": 0.01, "folds": 10, "auc": auc}
        figures |= {"eer": 1 - auc, "tar_at_far": [rate, {"far": 0.1, "rate": auc}], "fmr100": rate, "fmr1000": rate}
        return {"model": "m", "condition": "none", "left_out": 0, "figures": figures}

    history = [
        {
            "step": step,
            "epoch": step / 10,
            "loss": 10.0 / step,
            "margin_loss": 9.0 / step,
            "distance": 0.1,
            "lr": 0.1,
            "gradient_norm": 4.0,
        }
        for step in range(1, 11)
    ]
    validations = [{"epoch": epoch, "reports": [report(0.9 + epoch / 100)]} for epoch in (0, 1)]
    return {
        "maskgen": "0.1.0",
        "settings": {"data": "data", "base": "scratch:mbf"},
        "identities": 5,
        "pictures": 20,
        "masked_pictures": 10,
        "single_picture_identities": 0,
        "left_out": {},
        "unreadable": 0,
        "unreadable_examples": [],
        "base_difference": None,
        "export_difference": 1e-6,
        "steps": 10,
        "seconds": 3.0,
        "pictures_per_second": 12.5,
        "best_epoch": 1,
        "before": [report(0.9)],
        "after": [report(0.975)],
        "history": history,
        "validations": validations,
    }
