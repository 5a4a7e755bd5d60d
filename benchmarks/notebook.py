"""The notebook that the pipeline replaces: stock Keras, nothing tuned.

With `--autolog`, MLflow's autologging is on, as `mlflow.keras.autolog()` in its first cell.
"""

import sys

import keras
import matplotlib.pyplot as plt

if "--autolog" in sys.argv:
    import mlflow

    mlflow.keras.autolog()

(x_train, y_train), (x_test, y_test) = keras.datasets.imdb.load_data(num_words=10000)
x_train = keras.utils.pad_sequences(x_train, maxlen=200)
x_test = keras.utils.pad_sequences(x_test, maxlen=200)

model = keras.Sequential(
    [
        keras.layers.Embedding(10000, 64),
        keras.layers.LSTM(64),
        keras.layers.Dense(1, activation="sigmoid"),
    ]
)
model.compile(optimizer="adam", loss="binary_crossentropy", metrics=["accuracy"])
history = model.fit(
    x_train, y_train, epochs=5, batch_size=64, validation_split=0.2, verbose=2
).history

loss, accuracy = model.evaluate(x_test, y_test, verbose=0)
print(f"Test Accuracy: {accuracy:.4f}")

plt.plot(history["accuracy"], label="training")
plt.plot(history["val_accuracy"], label="validation")
plt.xlabel("epoch")
plt.ylabel("accuracy")
plt.legend()
plt.savefig("accuracy.png")
