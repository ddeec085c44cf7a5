"""Plain PyTorch training of models that collapse: data, models, losses, health rules and the loop.

`core` knows nothing of the search in `abr_tune`: it trains one configuration and says, epoch by epoch, how it goes.
"""
