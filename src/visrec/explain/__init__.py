"""Why a model recommends what it recommends."""
