FROM a
RUN echo 1 && \

  echo 2
expose 80 53/udp
HEALTHCHECK --interval=5s CMD ["true"]
label a="b c" d=e\ f
LABEL old form
ARG a b=c "d=e f"
whatever it is
COPY ["a b", "/c"]
CMD ["a", "b"
